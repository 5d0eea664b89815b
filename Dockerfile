# Two images of one tree: `web` (web, API, light jobs; no torch) and `gpu` (sampling, training, evaluation).
#   docker build --target web -t anyid-preference:web .
#   docker build --target gpu -t anyid-preference:gpu .

FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 1000 anyid && install -d -o anyid -g anyid /app /app/var /app/var/devices /models && install -d -m 750 -o anyid -g anyid /storage
WORKDIR /app
# Only what names the packages, so that a change of the code installs nothing anew. The project itself is
# run from /app; what pip installs under its name here is empty.
COPY pyproject.toml requirements.lock README.md LICENSE ./

FROM base AS web
RUN pip install --constraint requirements.lock .
COPY --chown=anyid:anyid . .
USER anyid
RUN python manage.py collectstatic --no-input --verbosity 0
EXPOSE 8000
CMD ["python", "-m", "annotate.supervisor", "exec", "web"]

# PyPI's torch brings its own CUDA libraries; the host needs only the driver and the NVIDIA container toolkit.
FROM base AS gpu
RUN pip install --constraint requirements.lock ".[ml]"
COPY --chown=anyid:anyid . .
USER anyid
CMD ["python", "-m", "annotate.supervisor", "exec", "gpu-worker"]
