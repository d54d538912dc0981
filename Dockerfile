# One target per app: ingestion (also the cluster's dispatcher and the migrations), training, service, ui, monitoring;
# and dispatcher for compose.yaml, where one container runs every job.
#
#   docker build --target service -t candlecast/service:dev .        or: make images
#
# BASE      any Debian with CPython 3.12 in /usr/local; for a reproducible image give it by digest.
# PIP_...   the package index, where it is not the public one. Nothing of them stays in the image.
# Packages come from the lock, each with its hash: <app>/requirements.txt is exported from uv.lock by `make generate`.
ARG BASE=docker.io/library/python:3.12-slim

FROM ${BASE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/candlecast/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    TMPDIR=/tmp \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=True \
    GRADIO_ANALYTICS_ENABLED=False \
    HF_HUB_OFFLINE=1 \
    DO_NOT_TRACK=1 \
    ITERATIVE_DO_NOT_TRACK=1 \
    OMP_WAIT_POLICY=PASSIVE \
    OMP_NUM_THREADS=1

# ---- packages first, our own code after them: a change of code costs no new installation
FROM base AS builder
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/candlecast
COPY tools/requirements-image.txt tools/install-packages ./
RUN python -m venv /build/venv \
 && /build/venv/bin/pip install --require-hashes --no-deps -r requirements-image.txt

# Our own wheel: its metadata tells the version, its code is what every app imports.
FROM builder AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY candlecast candlecast
RUN /build/venv/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel .

FROM builder AS ingestion-packages
COPY ingestion_job/requirements.txt .
RUN ./install-packages requirements.txt
COPY --from=wheel /wheel /wheel
RUN /build/venv/bin/pip --python /opt/candlecast/bin/python install --no-index --no-deps /wheel/*.whl

FROM builder AS training-packages
COPY training/requirements.txt .
RUN ./install-packages requirements.txt
COPY --from=wheel /wheel /wheel
RUN /build/venv/bin/pip --python /opt/candlecast/bin/python install --no-index --no-deps /wheel/*.whl

FROM builder AS ui-packages
COPY ui/requirements.txt .
RUN ./install-packages requirements.txt
COPY --from=wheel /wheel /wheel
RUN /build/venv/bin/pip --python /opt/candlecast/bin/python install --no-index --no-deps /wheel/*.whl

FROM builder AS monitoring-packages
COPY monitoring/requirements.txt .
RUN ./install-packages requirements.txt
COPY --from=wheel /wheel /wheel
RUN /build/venv/bin/pip --python /opt/candlecast/bin/python install --no-index --no-deps /wheel/*.whl

FROM builder AS dispatcher-packages
COPY dispatcher/requirements.txt .
RUN ./install-packages requirements.txt
COPY --from=wheel /wheel /wheel
RUN /build/venv/bin/pip --python /opt/candlecast/bin/python install --no-index --no-deps /wheel/*.whl

# The service's code comes from the Bento; of our wheel only the metadata stays, which tells the version.
FROM builder AS service-packages
COPY service/requirements.txt .
RUN ./install-packages requirements.txt
COPY --from=wheel /wheel /wheel
RUN /build/venv/bin/pip --python /opt/candlecast/bin/python install --no-index --no-deps /wheel/*.whl \
 && rm -r /opt/candlecast/lib/python3.*/site-packages/candlecast

FROM service-packages AS bento
WORKDIR /source
COPY bentofile.yaml pyproject.toml README.md LICENSE ./
COPY candlecast candlecast
COPY service service
# The output is a plain folder: src/ (the code), bento.yaml, env/ (what it was built for), README.md.
# `bentoml build` insists on a `uv` although nothing is left to resolve; it gets one that would fail when called.
RUN ln -s /bin/false /usr/local/bin/uv \
 && BENTOML_HOME=/build/bentoml bentoml build --version image --output tag . \
 && mv /build/bentoml/bentos/candlecast/image /bento \
 && python -m compileall -q --invalidation-mode unchecked-hash /bento/src

# Our own programs, compiled: the root file system is read-only where they run, so Python could not keep what it compiles.
# By hash and not by time, so that the same code makes the same files.
FROM base AS programs
COPY dispatcher /programs/dispatcher
COPY ingestion_job /programs/ingestion_job
COPY monitoring /programs/monitoring
COPY training /programs/training
COPY ui /programs/ui
RUN python -m compileall -q --invalidation-mode unchecked-hash /programs

# ---- what runs: no pip, no compiler, no root; the root file system may be read-only, /tmp must be writable
FROM base AS app
RUN rm -rf /usr/local/lib/python3.*/ensurepip /usr/local/lib/python3.*/site-packages/pip* /usr/local/bin/pip* \
 && mkdir -p /app
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.vendor="The candlecast authors" \
      org.opencontainers.image.licenses=MIT \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION}

FROM app AS ingestion
LABEL org.opencontainers.image.title="candlecast ingestion" org.opencontainers.image.description="fetches candles, starts asked-for runs, migrates the database"
COPY --from=ingestion-packages /opt/candlecast /opt/candlecast
COPY --from=programs /programs/ingestion_job ingestion_job
COPY --from=programs /programs/dispatcher dispatcher
CMD ["python", "-m", "ingestion_job"]

FROM app AS training
LABEL org.opencontainers.image.title="candlecast training" org.opencontainers.image.description="fits, judges and promotes models"
COPY --from=training-packages /opt/candlecast /opt/candlecast
COPY --from=programs /programs/training training
CMD ["python", "-m", "training"]

FROM app AS ui
LABEL org.opencontainers.image.title="candlecast ui" org.opencontainers.image.description="the analyst's screen"
COPY --from=ui-packages /opt/candlecast /opt/candlecast
COPY --from=programs /programs/ui ui
COPY docs docs
ENV CANDLECAST_UI_HOST=0.0.0.0
EXPOSE 7860
CMD ["python", "-m", "ui"]

FROM app AS monitoring
LABEL org.opencontainers.image.title="candlecast monitoring" org.opencontainers.image.description="exports metrics and watches drift"
COPY --from=monitoring-packages /opt/candlecast /opt/candlecast
COPY --from=programs /programs/monitoring monitoring
EXPOSE 9108
CMD ["python", "-m", "monitoring", "export"]

FROM app AS dispatcher
LABEL org.opencontainers.image.title="candlecast dispatcher" org.opencontainers.image.description="runs every job in one container"
COPY --from=dispatcher-packages /opt/candlecast /opt/candlecast
COPY --from=programs /programs/dispatcher dispatcher
COPY --from=programs /programs/ingestion_job ingestion_job
COPY --from=programs /programs/monitoring monitoring
COPY --from=programs /programs/training training
CMD ["python", "-m", "dispatcher"]

FROM app AS service
LABEL org.opencontainers.image.title="candlecast service" org.opencontainers.image.description="answers what the next candle will be"
COPY --from=service-packages /opt/candlecast /opt/candlecast
COPY --from=bento /bento /app
WORKDIR /app/src
ENV CANDLECAST_SERVICE_HOST=0.0.0.0
EXPOSE 3000
CMD ["python", "-m", "service"]
