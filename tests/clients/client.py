"""Python's requests and httpx: `client.py requests`, `client.py httpx`."""

import hashlib
import importlib
import json
import os
import sys
from urllib.parse import unquote

JING, AICLK, SANDBOX = (os.environ[name] for name in ("JING", "AICLK", "SANDBOX"))
USER = {"name": "张三", "tags": ["a", "b"]}
PICTURE = b"not really a picture\n" * 10_000

library = importlib.import_module(sys.argv[1])
client = library.Session() if library.__name__ == "requests" else library.Client()


def get():
    answer = client.get(f"{JING}/v1/user/list", params={"page": 1})
    assert data(answer)["query"] == "page=1", answer.text
    return answer


def head():
    answer = client.head(f"{JING}/v1/user/list")
    assert (answer.status_code, answer.content) == (200, b""), answer


def post():
    answer = client.post(f"{JING}/v1/user", json=USER)
    sent = answer.request.body if library.__name__ == "requests" else answer.request.content
    assert json.loads(sent) == USER
    return arrived(answer, sent)


def query():
    answer = client.get(f'{JING}/v1/user/list?filter={{"name":["a","b"]}}')
    assert unquote(data(answer)["query"]) == 'filter={"name":["a","b"]}', answer.text


def chunked(client=client):
    pieces = (PICTURE[at : at + 7000] for at in range(0, len(PICTURE), 7000))
    body = {"data" if library.__name__ == "requests" else "content": pieces}
    return arrived(client.post(f"{JING}/v1/picture", **body), PICTURE)


def multipart():
    files = {"file": ("a.png", PICTURE, "image/png")}
    answer = client.post(f"{AICLK}/openapi/picture", files=files)
    assert data(answer)["body_length"] > len(PICTURE), answer.text
    return answer


def keep_alive():
    if library.__name__ == "requests":
        pool = client.get_adapter(JING).poolmanager.connection_from_url(JING)
        get(), get(), get()
        assert pool.num_connections == 1, pool.num_connections
    else:
        streams = [get().extensions["network_stream"] for _ in range(3)]
        addresses = {stream.get_extra_info("client_addr") for stream in streams}
        assert len(addresses) == 1, addresses


def streamed():
    url = f"{JING}/v1/-/stream?chunks=3&delay_ms=5"
    if library.__name__ == "requests":
        lines = list(client.get(url, stream=True).iter_lines(decode_unicode=True))
    else:
        with client.stream("GET", url) as answer:
            lines = list(answer.iter_lines())
    assert "".join(lines).count("data: sandbox") == 3, lines


def http2():
    with library.Client(http1=False, http2=True) as speaking_http2:
        answer = chunked(speaking_http2)
        assert answer.http_version == "HTTP/2", answer.http_version
        return answer


def data(answer):
    assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
    return answer.json()["data"]


def arrived(answer, body):
    assert data(answer)["body_sha256"] == hashlib.sha256(body).hexdigest(), answer.text
    return answer


def dead(call):
    library.post(f"{SANDBOX}/-/fault?kind=expire").raise_for_status()
    retry = call().headers.get("tokenward-retry")
    assert retry == "recovered", f"tokenward-retry: {retry}"


def check(name, call, *arguments):
    try:
        call(*arguments)
        result = "ok"
    except Exception as error:
        result = " ".join(f"{type(error).__name__}: {error}".split())
    print(f"{library.__name__} {library.__version__}", name, result, sep="\t", flush=True)


check("GET", get)
check("HEAD", head)
check("streamed answer", streamed)
check("POST JSON", post)
check("JSON in the query", query)
check("chunked upload", chunked)
check("multipart upload", multipart)
check("keep-alive", keep_alive)
check("dead token, GET", dead, get)
check("dead token, POST JSON", dead, post)
check("dead token, upload", dead, chunked)
check("dead token, multipart", dead, multipart)
if library.__name__ == "httpx":
    check("HTTP/2, prior knowledge", http2)
    check("dead token, HTTP/2", dead, http2)
