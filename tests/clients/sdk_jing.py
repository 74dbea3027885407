"""An SDK of JINGdigital's API as its documentation would have one: it fetches tokens itself, with
credentials of its own, and does its work with them. Prints what it was given, in JSON.

    sdk_jing.py BASE_URL SANDBOX
"""

import json
import sys
import time

import requests


class Jing:
    MARGIN = 30

    def __init__(self, base_url, app_id, app_secret):
        self.base_url, self.app = base_url, {"app_id": app_id, "app_secret": app_secret}
        self.session = requests.Session()
        self.granted, self.ends, self.grants = None, 0, []

    def mint(self):
        self._take(self._grant("/v1/oauth2/token", self.app))

    def refresh(self):
        presented = {**self.app, "refresh_token": self.granted["refresh_token"]}
        self._take(self._grant("/v1/oauth2/token/refresh", presented))

    def call(self, method, path, style="bearer", **rest):
        if self.granted is None:
            self.mint()
        elif time.time() > self.ends - self.MARGIN:
            self.refresh()
        token = self.granted["access_token"]
        if style == "bearer":
            headers = {"Authorization": f"Bearer {token}"}
        else:
            headers = {"app_id": self.app["app_id"], "access_token": token}
        answer = self.session.request(method, self.base_url + path, headers=headers, **rest)
        return data(answer), answer.headers.get("tokenward-retry")

    def _grant(self, path, body):
        return data(self.session.post(self.base_url + path, json=body))

    def _take(self, granted):
        assert granted["token_type"].lower() == "bearer" and granted["scope"] == "all", granted
        assert isinstance(granted["expires_in"], int), granted
        self.granted, self.ends = granted, time.time() + granted["expires_in"]
        self.grants.append(granted)


def data(answer):
    """A failure has HTTP 200 and another code."""
    envelope = answer.json()
    assert answer.status_code == 200 and envelope["code"] == 0, answer.text
    assert envelope["msg"] == "success" and envelope["request_id"], answer.text
    assert isinstance(envelope["timestamp"], int), answer.text
    return envelope["data"]


def main(base_url, sandbox):
    direct = requests.Session()
    direct.trust_env = False
    expire = lambda: direct.post(f"{sandbox}/-/fault?kind=expire&vendor=jing").raise_for_status()
    jing = Jing(base_url, "sdk-own-app-id", "sdk-own-app-secret")

    listed, retry = jing.call("GET", "/v1/user/list?page=1")
    assert (listed["query"], retry) == ("page=1", None), (listed, retry)
    for style in ("bearer", "headers"):
        expire()
        user = {"email": "a@example.com", "name": "张三"}
        _, retry = jing.call("POST", "/v1/user/create?returnFull=true", style, json=user)
        assert retry == "recovered", retry
    jing.refresh()
    picture = b"not really a picture\n" * 10_000
    stored, retry = jing.call("POST", "/v1/picture", "headers", data=picture)
    assert (stored["body_length"], retry) == (len(picture), None), (stored, retry)
    jing.mint()
    jing.call("DELETE", "/v1/user/7")
    print(json.dumps(jing.grants))


main(*sys.argv[1:])
