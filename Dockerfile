FROM python:3.13-slim

ENV PIP_NO_CACHE_DIR=1
RUN useradd --create-home burble
RUN install --directory --owner burble --mode 0700 /var/lib/burble
WORKDIR /app

COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock

COPY gunicorn_conf.py ./
COPY backend backend
COPY frontend frontend

USER burble
ENV BURBLE_BIND=0.0.0.0:8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os; from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:' + os.environ['BURBLE_BIND'].rpartition(':')[2] + '/health', timeout=4)"]
CMD ["gunicorn", "-c", "gunicorn_conf.py"]
