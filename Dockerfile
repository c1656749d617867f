# One image for every part and every command.
FROM python:3.11-slim AS build
# hnswlib has no wheels: the compiler stays in this stage
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
ENV HNSWLIB_NO_NATIVE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/penstock
COPY requirements.lock .
# the versions of the lock file as constraints: pip cannot check digests beside a package that it builds from a folder
RUN sed -e 's/ *\\$//' -e '/^ *--hash/d' requirements.lock > constraints.txt
COPY pyproject.toml README.md topics.yaml ./
COPY schemas schemas
COPY operators operators
COPY dataflows dataflows
COPY serving serving
RUN /opt/penstock/bin/pip install --constraint constraints.txt .

FROM python:3.11-slim
# libgomp is what hnswlib was linked against
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home penstock \
 && install --directory --owner penstock --group penstock --mode 0700 /var/lib/penstock
COPY --from=build /opt/penstock /opt/penstock
ENV PATH=/opt/penstock/bin:$PATH PENSTOCK_HOME=/var/lib/penstock PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MALLOC_ARENA_MAX=2
USER penstock
VOLUME /var/lib/penstock
CMD ["penstock", "--help"]
