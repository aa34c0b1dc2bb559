"""Hosts and URLs that no endpoint may have: each a way to the inside that some parser or filter has let through."""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


ADDRESSES = _words("""
127.0.0.1 127.255.255.254 127.1 127.0.1 2130706433 017700000001 0x7f000001 0x7f.0.0.1 0177.0.0.1 127.00.0.01 127.0.0.1.
0 0x0 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 3232235777 100.64.0.1 100.100.100.200
169.254.169.254 0xa9fea9fe 2852039166 0251.0376.0251.0376 169.254.43518 169.254.170.2 168.63.129.16 192.0.0.192
192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
[::] [::1] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:8.8.8.8] [::ffff:0:127.0.0.1] [64:ff9b::7f00:1]
[64:ff9b::a9fe:a9fe] [64:ff9b:1::a9fe:a9fe] [100::1] [2001:0:a9fe:a9fe::1] [2001:db8::1] [2002:7f00:1::]
[2002:a9fe:a9fe::1] [3fff::1] [5f00::1] [fc00::1] [fd00:ec2::254] [fe80::1%25eth0] [fe80::1] [fec0::1] [ff02::1]
""")
"""Private, special and wrapped addresses, in the spellings that `inet_aton` and others read."""

NAMES = _words("""
localhost LOCALHOST localhost. foo.localhost metadata.google.internal metadata kubernetes.default.svc redis db.internal x.local
""")
"""Names of one label, and of special-use domains."""

LOOKALIKES = (
    "①②⑦.⓪.⓪.①",
    "₁₂₇.0.0.1",
    "１２７.0.0.1",
    "127。0。0。1",
    "127．0．0．1",
    "ｌｏｃａｌｈｏｓｔ",
    "ⓔxample.com",
)
"""What IDNA turns into ASCII."""

AUTHORITIES = (
    "a@127.0.0.1",
    "good.test@127.0.0.1",
    "good.test#@127.0.0.1",
    "good.test\\@127.0.0.1",
    "127.0.0.1:443\\@good.test",
    "good.test%2f@127.0.0.1",
    "127.0.0.1%23@good.test",
    "good.test?@127.0.0.1",
    "good.test\r\nX: y",
)
"""What follows `https://`, and has two readings of where its host is."""

URLS = (
    "http://good.test",
    "file:///etc/passwd",
    "file://good.test/etc/passwd",
    "gopher://good.test:70/_x",
    "ftp://good.test/",
    "//127.0.0.1",
    "https:127.0.0.1",
    "https:///127.0.0.1",
    " https://good.test",
    "ht\ntps://good.test",
    "https://good.test/\n",
    "https://good.test/a b",
    "https://good.test/%zz",
    "https://-good.test/",
    "https://good..test/",
    "https://good_one.test/",
    "https://[good.test]/",
    "https://[::1/",
    "",
    "https://",
)
"""Other schemes, and URLs that are none."""

PORTS = _words(":0 :22 :25 :2375 :5432 :5672 :6379 :10250 :65536 :８０ :443:80 : :+443 :0443 :99999999")
"""Ports of other services, and what is no port."""


def hostile_urls() -> list[str]:
    """Return all of them as URLs. What has ``good.test`` in it stands there with a public name as well."""
    urls = [f"https://{host}/hook" for host in (*ADDRESSES, *NAMES, *LOOKALIKES)]
    urls += [f"https://{authority}/" for authority in AUTHORITIES]
    urls += [f"https://good.test{port}/" for port in PORTS]
    urls += URLS
    return urls + [url.replace("good.test", "hooks.acme.dev") for url in urls if "good.test" in url]
