"""The backend and the proxies: nginx, HAProxy, Envoy and tokenward with the same work before them.

Each proxy listens on two ports, `plain` and `tls`, which say how it speaks to the backend; callers
speak plain HTTP/1.1. Each puts one header in, checks the backend's certificate, keeps its
connections to the backend, and has two workers or threads. Beyond that it has its own defaults.
"""

import json

from lib import machine

ANSWER = '{"code":200,"data":[' + ",".join(
    '{"id":%d,"name":"account %d","balance":%d}' % (n, n, n * 1000) for n in range(1, 5)
) + '],"message":"Success"'
ANSWER += ',"trace_id":"%s"}' % ("f" * (240 - len(ANSWER) - len(',"trace_id":""}')))
GRANT = '{"code":200,"data":{"access_token":"bench-token","expires_in":7776000},"message":"Success"}'
PATH = "/openapi/v1/account/info?account_id=1"
TITLES = {"nginx": "nginx", "haproxy": "HAProxy", "envoy": "Envoy", "tokenward": "tokenward"}


class Backend:
    """An nginx that answers; `more` goes into its server, `around` before it."""

    def __init__(self, stage, workers=1, more="", around="", grant=f"return 200 '{GRANT}';"):
        self.plain, self.tls = machine.free_ports(2)
        machine.certificate(stage.folder)
        self.ca = stage.folder / "cert.pem"
        self.key = stage.folder / "key.pem"
        files = stage.folder / "files"
        files.mkdir(exist_ok=True)
        self.files = files
        self.process = nginx(stage, "backend", workers, f"""{around}
server {{
  listen 127.0.0.1:{self.plain} backlog=4096; listen 127.0.0.1:{self.tls} ssl backlog=4096;
  ssl_certificate {self.ca}; ssl_certificate_key {self.key};
  default_type application/json; client_max_body_size 0;
  location / {{ return 200 '{ANSWER}'; }}
  location /octets {{ default_type application/octet-stream; return 200 '{ANSWER}'; }}
  location /files/ {{ alias {files}/; default_type application/octet-stream; }}
  location = /oauth2/token {{ {grant} }}
  {more}
}}""", [self.plain, self.tls], 32768)


def nginx(stage, name, workers, http, ports, connections=4096):
    config = stage.folder / f"{name}.conf"
    temporary = "".join(f"{kind}_temp_path {stage.folder}/{name}-{kind};\n"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config.write_text(
        f"daemon off; worker_processes {workers}; pid {stage.folder}/{name}.pid;\n"
        f"error_log {stage.folder}/{name}.log; worker_rlimit_nofile {machine.files()};\n"
        f"events {{ worker_connections {connections}; }}\n"
        f"http {{ access_log off; keepalive_requests 100000000;\n{temporary}{http}\n}}\n")
    return stage.start(name, ["nginx", "-e", f"{stage.folder}/{name}.log", "-c", config,
                              "-p", stage.folder], ports)


class Proxy:
    """One proxy that runs, with its two ports."""

    def __init__(self, name, process, plain, tls, admin=None):
        self.name, self.process, self.plain, self.tls, self.admin = name, process, plain, tls, admin

    def port(self, kind):
        return {"plain": self.plain, "tls": self.tls}[kind]


def start(name, stage, backend, options):
    """Starts the proxy of that name. `options` has the programs."""
    return {"nginx": start_nginx, "haproxy": start_haproxy, "envoy": start_envoy,
            "tokenward": start_tokenward}[name](stage, backend, options)


def start_nginx(stage, backend, options, label="nginx", more="", connections=4096, tls_backend=None):
    plain, tls = machine.free_ports(2)

    def server(listen, scheme, upstream, port, verify=""):
        return f"""
upstream {upstream} {{ server 127.0.0.1:{port}; keepalive 1024; keepalive_requests 100000000; }}
server {{
  listen 127.0.0.1:{listen} backlog=4096; client_max_body_size 0; {more}
  location / {{
    proxy_pass {scheme}://{upstream};
    proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host localhost;
    proxy_set_header Authorization "Bearer bench-token"; {verify}
  }}
}}"""
    verify = (f"proxy_ssl_server_name on; proxy_ssl_name localhost; proxy_ssl_verify on; "
              f"proxy_ssl_trusted_certificate {backend.ca}; proxy_ssl_protocols TLSv1.2 TLSv1.3;")
    process = nginx(stage, label, 2, server(plain, "http", "plain", backend.plain)
                    + server(tls, "https", "tls", tls_backend or backend.tls, verify),
                    [plain, tls], connections)
    return Proxy("nginx", process, plain, tls)


def start_haproxy(stage, backend, options):
    plain, tls = machine.free_ports(2)

    def pair(name, listen, port, more=""):
        return f"""
frontend {name}
  bind 127.0.0.1:{listen}
  http-request set-header Authorization "Bearer bench-token"
  http-request set-header Host localhost
  default_backend {name}
backend {name}
  http-reuse always
  server one 127.0.0.1:{port} {more}
"""
    config = stage.folder / "haproxy.cfg"
    config.write_text(
        f"global\n  nbthread 2\n  maxconn {min(8000, machine.files() // 2 - 200)}\ndefaults\n  mode http\n"
        "  timeout connect 5s\n  timeout client 75s\n  timeout server 75s\n"
        + pair("plain", plain, backend.plain)
        + pair("tls", tls, backend.tls, f"ssl verify required ca-file {backend.ca} "
               "sni str(localhost) verifyhost localhost"))
    process = stage.start("haproxy", ["haproxy", "-db", "-f", config], [plain, tls])
    return Proxy("haproxy", process, plain, tls)


def start_envoy(stage, backend, options):
    plain, tls = machine.free_ports(2)
    types = "type.googleapis.com/envoy.extensions"
    inject = {
        "name": "envoy.filters.http.credential_injector",
        "typed_config": {
            "@type": f"{types}.filters.http.credential_injector.v3.CredentialInjector",
            "overwrite": True,
            "credential": {
                "name": "envoy.http.injected_credentials.generic",
                "typed_config": {
                    "@type": f"{types}.http.injected_credentials.generic.v3.Generic",
                    "credential": {"name": "credential"}, "header": "Authorization",
                },
            },
        },
    }
    router = {"name": "envoy.filters.http.router",
              "typed_config": {"@type": f"{types}.filters.http.router.v3.Router"}}

    def listener(name, port):
        route = {"match": {"prefix": "/"},
                 "route": {"cluster": name, "host_rewrite_literal": "localhost"}}
        manager = {
            "@type": f"{types}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name, "http_filters": [inject, router],
            "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
        }
        return {"name": name, "address": address(port), "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}

    def cluster(name, port, more):
        # The defaults allow 1,024 connections and requests; that is enough here.
        return {"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": {
            "cluster_name": name, "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address(port)}}]}]}, **more}

    secure = {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": f"{types}.transport_sockets.tls.v3.UpstreamTlsContext", "sni": "localhost",
        "common_tls_context": {"validation_context": {
            "trusted_ca": {"filename": str(backend.ca)},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}],
        }}}}}
    config = stage.folder / "envoy.json"
    config.write_text(json.dumps({"static_resources": {
        "secrets": [{"name": "credential",
                     "generic_secret": {"secret": {"inline_string": "Bearer bench-token"}}}],
        "listeners": [listener("plain", plain), listener("tls", tls)],
        "clusters": [cluster("plain", backend.plain, {}), cluster("tls", backend.tls, secure)],
    }}))
    process = stage.start("envoy", [options.envoy, "-c", config, "--concurrency", "2",
                                    "--disable-hot-restart", "-l", "warning"], [plain, tls])
    return Proxy("envoy", process, plain, tls)


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def start_tokenward(stage, backend, options, label="tokenward", tls_backend=None, more=""):
    plain, tls, admin = machine.free_ports(3)
    config = stage.folder / f"{label}.toml"
    config.write_text(top(admin) + more + upstream("plain", backend.plain, plain)
                      + upstream("tls", tls_backend or backend.tls, tls, backend.ca))
    process = stage.start(label, [options.binary, "run", "--config", config], [plain, tls, admin])
    machine.wait_ready(admin)
    return Proxy("tokenward", process, plain, tls, admin)


def top(admin, store='kind = "memory"', workers=2):
    return f'workers = {workers}\n[admin]\nlisten = "127.0.0.1:{admin}"\n[store]\n{store}\n'


def upstream(name, port, listen=None, ca=None, more=""):
    """An upstream of the built-in description with one injected header; over TLS with a `ca`."""
    lines = [f"\n[upstream.{name}]", 'vendor = "aiclk"', f'credentials.client_id = "bench-{name}"',
             'credentials.refresh_token = "bench-refresh"']
    if listen:
        lines.append(f'listen = "127.0.0.1:{listen}"')
    if ca:
        lines += [f'base_url = "https://localhost:{port}"', f'tls.ca_file = "{ca}"']
    else:
        lines.append(f'base_url = "http://127.0.0.1:{port}"')
    return "\n".join([*lines, more]) + "\n"
