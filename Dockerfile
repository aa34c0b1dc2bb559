# By digest, as `docker buildx imagetools inspect python:3.13.9-slim-trixie` shows it, once you have looked at it:
#   docker build --build-arg PYTHON=python:3.13.9-slim-trixie@sha256:… .
ARG PYTHON=python:3.13.9-slim-trixie

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv --without-pip /opt/venv

# The requirements first: this layer only changes with the lock files. What makes the wheel stays in this stage.
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN pip install --require-hashes --requirement requirements/build.txt \
 && pip --python /opt/venv/bin/python install --require-hashes --requirement requirements/runtime.txt

COPY pyproject.toml README.md LICENSE config.yaml ./
COPY gateway gateway
COPY providers providers
COPY schemas schemas
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && pip --python /opt/venv/bin/python install --no-deps --no-index /dist/*.whl


FROM ${PYTHON}
RUN groupadd --system --gid 10001 gateway \
 && useradd --system --uid 10001 --gid gateway --no-create-home --home-dir /data --shell /usr/sbin/nologin gateway \
 && install --directory --owner gateway --group gateway --mode 0700 /data
COPY --from=build /opt/venv /opt/venv
COPY config.yaml /etc/webhook-gateway/config.yaml
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_DATA_DIR=/data
USER gateway
WORKDIR /data
# The spool is here: accepted events that the broker has not got yet. Keep it on a volume.
VOLUME /data
# 8080 is for the senders; 8081 (console and metrics) is for the operator, never for the internet.
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8080/livez', timeout=4)"]
ENTRYPOINT ["gateway"]
CMD ["serve", "--config", "/etc/webhook-gateway/config.yaml", "--bind", "[::]:8080", "--admin-bind", "[::]:8081"]
