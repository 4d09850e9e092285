# Two stages: the first compiles, the second has Python, the wheel and the models; no compiler, no torch, no source.

FROM python:3.11-slim-bookworm AS build
# Not pinned: security updates of the compiler are wanted, and nothing of it reaches the second stage.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements/serve.txt requirements/runtime.txt requirements/
RUN python -m pip install --no-cache-dir --require-hashes --no-deps -r requirements/serve.txt \
    && python -m venv /opt/intbert \
    && /opt/intbert/bin/python -m pip install --no-cache-dir --no-compile --require-hashes --no-deps -r requirements/runtime.txt
COPY pyproject.toml CMakeLists.txt README.md LICENSE ./
COPY service service
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/intbert/bin/python -m pip install --no-cache-dir --no-compile --no-deps /wheels/*.whl \
    && /opt/intbert/bin/python -m pip uninstall --yes pip setuptools \
    && /opt/intbert/bin/python -m compileall -q /opt/intbert

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin intbert
COPY --from=build /opt/intbert /opt/intbert
COPY model_store /models
ENV PATH=/opt/intbert/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    INTBERT_STORE=/models \
    INTBERT_HOST=0.0.0.0 \
    INTBERT_LOG_FORMAT=json
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
# Exec form: the server is process 1 and gets SIGTERM itself.
CMD ["intbert", "serve"]
