# One image for every process of the service: commands, training worker, relaxation workers. docker-compose.yml builds it.
FROM python:3.11.9-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=3
WORKDIR /opt/ccdcgan-al

# the packages first: this layer stays as it is until the lock file changes
COPY requirements.lock ./
RUN python -m pip install -q -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY ccdcgan_al ccdcgan_al
COPY workflows workflows
COPY launchpad launchpad
RUN python -m pip install -q --no-deps --no-build-isolation .

COPY --chmod=755 docker/entrypoint.sh /usr/local/bin/ccdcgan-al-entrypoint
RUN useradd --create-home --uid 10001 ccdcgan && install -d -o ccdcgan /launches \
    && install -d -m 700 -o ccdcgan /home/ccdcgan/config /home/ccdcgan/config/relaxed
USER ccdcgan
ENV CCDCGAN_AL_HOME=/home/ccdcgan
# FireWorks makes its launch folders where a worker is started; a volume keeps them for `ccdcgan-al harvest`
WORKDIR /launches
ENTRYPOINT ["ccdcgan-al-entrypoint"]
CMD ["ccdcgan-al", "--help"]
