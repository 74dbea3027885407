"""An SDK of Qutoutiao's Marketing API as its documentation would have one: it refreshes its token
itself, with credentials of its own, and does its work with it. Prints what it was given, in JSON.

    sdk_aiclk.py BASE_URL SANDBOX
"""

import json
import sys
import time

import requests


class Aiclk:
    MARGIN = 30

    def __init__(self, base_url, client_id, refresh_token):
        self.base_url, self.client_id, self.refresh_token = base_url, client_id, refresh_token
        self.session = requests.Session()
        self.header, self.ends, self.grants = None, 0, []

    def refresh(self):
        form = {"client_id": (None, self.client_id), "refresh_token": (None, self.refresh_token)}
        granted = data(self.session.post(f"{self.base_url}/oauth2/token", files=form))
        # `token_type` names the header.
        self.header = {granted["token_type"]: granted["access_token"]}
        life = granted["expires_in"]
        self.ends = life if life > 1e9 else time.time() + life
        self.grants.append(granted)

    def call(self, method, path, **rest):
        if time.time() > self.ends - self.MARGIN:
            self.refresh()
        url = f"{self.base_url}{path}"
        answer = self.session.request(method, url, headers=self.header, **rest)
        return data(answer), answer.headers.get("tokenward-retry")


def data(answer):
    envelope = answer.json()
    assert answer.status_code == 200 and envelope["code"] == 200, answer.text
    assert envelope["message"] and envelope["trace_id"], answer.text
    return envelope["data"]


def main(base_url, sandbox):
    direct = requests.Session()
    direct.trust_env = False
    expire = lambda: direct.post(f"{sandbox}/-/fault?kind=expire&vendor=aiclk").raise_for_status()
    aiclk = Aiclk(base_url, "sdk-own-client-id", "sdk-own-refresh-token")

    query = 'account_id=1&query={"fields":["account_id"]}'
    _, retry = aiclk.call("GET", f"/openapi/v1/account/info?{query}")
    assert retry is None, retry
    expire()
    _, retry = aiclk.call("GET", f"/openapi/v1/account_fund/list?{query}")
    assert retry == "recovered", retry
    aiclk.refresh()
    picture = b"not really a picture\n" * 10_000
    upload = {"file": ("a.png", picture, "image/png")}
    expire()
    _, retry = aiclk.call("POST", "/openapi/v1/material/upload?account_id=1", files=upload)
    assert retry == "recovered", retry
    print(json.dumps(aiclk.grants))


main(*sys.argv[1:])
