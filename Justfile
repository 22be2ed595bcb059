# Everything runs in the project's own environment (.venv), which uv makes and keeps up to date. uv tells the
# programs that it starts where it lies itself.

uv := quote(env("UV", "uv"))
run := uv + " run --quiet"
local_torch := env("LOCAL_TORCH", "")

# Exact, because a new compiler finds new things to complain about.

typescript := "7.0.2"

set positional-arguments

[private]
default:
    @{{ quote(just_executable()) }} --list --unsorted

# Serve the chat; the settings are environment variables or lines of .env
up:
    exec {{ run }} gunicorn -c gunicorn_conf.py

# Make an API key for NAME, and print it this once
key name:
    @{{ run }} python -m backend.keys {{ quote(name) }}

# The page needs no such help: it is served as it lies on the disk. A restart gives running answers a second to finish.
# It is the folder that is watched: a file that an editor puts in another's place would be lost sight of. What is being
# written is nobody else's yet: it is this machine's alone, unless somebody says otherwise.

# Serve the chat to this machine, and start the back end afresh whenever its code, or your model's, changes
dev:
    @[ -n "${BURBLE_BIND-}" ] || grep -qs '^BURBLE_BIND=' .env || export BURBLE_BIND=127.0.0.1:8000; \
    exec env BURBLE_DIRTY_GRACEFUL_TIMEOUT="${BURBLE_DIRTY_GRACEFUL_TIMEOUT:-1}" {{ run }} watchfiles \
        --filter python --ignore-paths backend/tests,bench,e2e,frontend --sigint-timeout 60 \
        'gunicorn -c gunicorn_conf.py' .

# In a process for each core, up to four, each with stacks and a browser of its own.

# Run every test but those that take long (arguments go to pytest)
test *args:
    {{ run }} python -m e2e.browser
    {{ run }} pytest -m "not long" --numprocesses=auto --maxprocesses=4 --dist=load "$@"

# Run the tests that take long: what is killed, reloaded, attacked and cut off again and again
test-long *args:
    {{ run }} python -m e2e.browser
    {{ run }} pytest -m long --numprocesses=auto --maxprocesses=4 --dist=load "$@"

# Run the tests of the whole stack in a browser (arguments go to pytest)
e2e *args:
    {{ run }} pytest e2e "$@"

# In an environment of their own, because the extra is large. What `LOCAL_TORCH` names is installed first: a build of
# PyTorch for CPU alone, for example. With `LOCAL_DEVICE=cuda` the tests' models run on a GPU.

# Run the tests of the local-model backend, which need its extra (arguments go to pytest)
test-local *args:
    {{ uv }} venv --quiet --allow-existing --seed .cache/local
    {{ if local_torch == "" { "" } else { ".cache/local/bin/python -m pip install --quiet " + quote(local_torch) } }}
    {{ uv }} pip install --quiet --python .cache/local -r pyproject.toml \
        --extra transformers --extra quantization --group dev
    .cache/local/bin/python -m pytest backend/tests/local backend/tests/test_examples.py \
        e2e/test_local.py "$@"

# Check format, style and types, of the page's code too where Node.js is installed
lint:
    {{ run }} ruff format --check
    {{ run }} ruff check
    {{ run }} mypy
    @if command -v npx >/dev/null; then \
        npx --yes --package typescript@{{ typescript }} tsc -p frontend/jsconfig.json; \
    else \
        echo "Node.js is not installed: the types of the page's code were not checked."; \
    fi

# Format the code and mend what can be mended by machine
format:
    {{ run }} ruff check --fix
    {{ run }} ruff format

# Measure what a token and a stream cost (arguments go to the benchmark; --help lists them)
bench *args:
    {{ run }} python -m bench "$@"

# Measure what a long answer costs a browser (arguments go to the benchmark; --help lists them)
bench-page *args:
    {{ run }} python -m bench.page "$@"

# Pin every package that is deployed, by version and hash, at its newest
lock:
    {{ uv }} pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --custom-compile-command "just lock" --output-file requirements.lock pyproject.toml

# Serve the chat from a container
docker-up:
    docker compose up --build
