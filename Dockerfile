# Built from the repository's root: make image IMAGE=REGISTRY/gitmesh:TAG, or docker build -t gitmesh .
# The base is what was looked at, not what a tag means today; `make image BASE=NAME@sha256:DIGEST` takes a newer one.
# Two stages: the first makes the virtual environment from the hashed lock, the second holds only what runs.
ARG BASE=docker.io/library/python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
FROM ${BASE} AS build
WORKDIR /src
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN python -m venv /opt/gitmesh \
 && /opt/gitmesh/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/runtime.txt \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY gitmesh gitmesh
COPY translators translators
COPY policies-example policies-example
RUN /opt/build/bin/python -m build --wheel --no-isolation --outdir /tmp/wheel . \
 && /opt/gitmesh/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps /tmp/wheel/*.whl \
 && /opt/gitmesh/bin/pip uninstall --yes --quiet pip setuptools

FROM ${BASE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git openssh-client ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/gitmesh /opt/gitmesh
# The root file system is read-only in deploy/: what is written lies in the one volume, /var/lib/gitmesh.
ENV PATH=/opt/gitmesh/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/var/lib/gitmesh XDG_CACHE_HOME=/var/lib/gitmesh
WORKDIR /var/lib/gitmesh
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["gitmesh"]
CMD ["agent", "--config", "/etc/gitmesh/gitmesh.yaml"]
