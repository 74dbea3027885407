#!/usr/bin/env bash
# curl, as shell scripts use it.
set -uo pipefail

readonly CLIENT="curl $(curl --version | sed -n '1s/^curl \([^ ]*\).*/\1/p')"
readonly USER='{"name":"张三","tags":["a","b"]}'
readonly FILTER='filter={"name":["a","b"]}'

main() {
    head -c 300000 /dev/zero | tr '\0' 'x' >"$WORK/picture"
    check 'GET' get
    check 'HEAD' expect "$(call -I "$JING/v1/user/list")" 'HTTP/1.1 200'
    check 'streamed answer' streamed
    check 'POST JSON' post
    check 'JSON in the query' query
    check 'chunked upload' chunked
    check 'multipart upload' multipart
    check 'Expect: 100-continue' expect_100
    check 'Expect, refused' expect_refused
    check 'keep-alive' keep_alive
    check 'HTTP/1.0' get -0
    check 'HTTP/2, prior knowledge' http2
    check 'HTTP/2, Upgrade: h2c' expect "$(call --http2 "$JING/v1/user/list")" 'HTTP/1.1 200' '"code":0'
    check 'dead token, GET' dead get
    check 'dead token, POST JSON' dead post
    check 'dead token, upload' dead chunked
    check 'dead token, multipart' dead multipart
    check 'dead token, Expect' dead expect_100
    check 'dead token, HTTP/1.0' dead get -0
    check 'dead token, HTTP/2' dead http2
}

get() { expect "$(call "$@" "$JING/v1/user/list?page=1")" '"code":0' '"query":"page=1"'; }

post() {
    local sum && sum=$(printf %s "$USER" | sha256sum)
    expect "$(call -H 'Content-Type: application/json' -d "$USER" "$JING/v1/user")" "${sum%% *}"
}

http2() {
    local sum && sum=$(sha256sum <"$WORK/picture")
    expect "$(call --http2-prior-knowledge --data-binary "@$WORK/picture" "$JING/v1/picture")" \
        'HTTP/2 200' "${sum%% *}"
}

streamed() {
    local events='data: sandbox'$'\n\n''data: sandbox'$'\n\n''data: sandbox'
    expect "$(call -N "$JING/v1/-/stream?chunks=3&delay_ms=5")" "$events"
}

# -g: the braces are no pattern.
query() {
    expect "$(call -g "$JING/v1/user/list?$FILTER")" '"filter={%22name%22:[%22a%22,%22b%22]}"'
}

# Of unknown length; curl asks with Expect by itself.
chunked() {
    local sum && sum=$(sha256sum <"$WORK/picture")
    expect "$(call -T - "$JING/v1/picture" <"$WORK/picture")" '"PUT"' '"body_length":300000' "${sum%% *}"
}

multipart() {
    # With what the form is made of, it is a little longer than the picture.
    expect "$(call -F "file=@$WORK/picture;type=image/png" "$AICLK/openapi/picture")" \
        '"code":200' '"body_length":300'
}

expect_100() {
    local url="$JING/v1/picture"
    expect "$(call -H 'Expect: 100-continue' --data-binary "@$WORK/picture" "$url")" \
        'HTTP/1.1 100' 'HTTP/1.1 200' '"body_length":300000'
}

# The gateway lets nobody mint; nothing of the body leaves.
expect_refused() {
    local sent='sent: %{size_upload}' url="$JING/v1/oauth2/token"
    expect "$(call -w "$sent" -H 'Expect: 100-continue' --data-binary "@$WORK/picture" "$url")" \
        'sent: 0' 'HTTP/1.1 403'
}

keep_alive() {
    local url="$JING/v1/user/list" each=(-o /dev/null -o /dev/null -o /dev/null)
    expect "$(call "${each[@]}" -w '%{http_code} %{num_connects};' "$url" "$url" "$url")" \
        '200 1;200 0;200 0;'
}

dead() {
    curl -q -sS -o /dev/null -X POST "$SANDBOX/-/fault?kind=expire"
    "$@"
    expect "$(cat "$WORK/head")" 'tokenward-retry: recovered'
}

# The answer's body, then its head with any interim one before it.
call() {
    curl -q -sS --max-time 20 -D "$WORK/head" "$@"
    cat "$WORK/head"
}

# expect ANSWER PART…: what is missing is printed.
expect() {
    local answer=$1 part && shift
    for part; do
        [[ $answer == *"$part"* ]] || printf '<<%s>> is missing: %.400s ' "$part" "$answer"
    done
}

# check NAME COMMAND…: the command prints what was wrong.
check() {
    local wrong && wrong=$("${@:2}" 2>&1 | tr '\r\n\t' '   ')
    printf '%s\t%s\t%s\n' "$CLIENT" "$1" "${wrong:-ok}"
}

main
