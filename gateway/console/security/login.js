// Send the code of a login link, which is in the fragment of the address and never in a request for the page.
(() => {
  const code = new URLSearchParams(location.hash.slice(1)).get("once");
  const form = document.querySelector('form[action="/login"]');
  if (!code || !form) return;
  history.replaceState(null, "", location.pathname + location.search); // neither in the history nor in a copied address
  form.elements.namedItem("once").value = code;
  form.submit();
})();
