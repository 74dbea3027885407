// Java's HttpClient. Unless told otherwise, it offers HTTP/2 with every call: `Upgrade: h2c`.

import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HexFormat;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

class Client {
    static final String JING = System.getenv("JING");
    static final String SANDBOX = System.getenv("SANDBOX");
    static final byte[] PICTURE = "not really a picture\n".repeat(10_000).getBytes();
    static final String USER = "{\"name\":\"\u5f20\u4e09\",\"tags\":[\"a\",\"b\"]}";

    static final HttpClient client = HttpClient.newHttpClient();

    interface Call {
        HttpResponse<String> run() throws Exception;
    }

    public static void main(String[] arguments) {
        check("GET", Client::get);
        check("HEAD", Client::head);
        check("streamed answer", Client::streamed);
        check("POST JSON", Client::post);
        check("chunked upload", Client::chunked);
        check("Expect: 100-continue", Client::expect100);
        check("HTTP/2, Upgrade: h2c", Client::offersHttp2);
        check("WebSocket", Client::webSocket);
        check("dead token, GET", dead(Client::get));
        check("dead token, POST JSON", dead(Client::post));
        check("dead token, upload", dead(Client::chunked));
        check("dead token, Expect", dead(Client::expect100));
        check("dead token, WebSocket", () -> {
            expire();
            // This client does not show the handshake's answer, so the vendor is asked.
            var before = rejected();
            webSocket();
            equal("one more: " + (rejected() - before), "one more: 1");
            return null;
        });
        System.exit(0);
    }

    static HttpResponse<String> get() throws Exception {
        return answered(to("/v1/user/list?page=1"), "\"query\":\"page=1\"");
    }

    static HttpResponse<String> head() throws Exception {
        return answered(to("/v1/user/list").method("HEAD", BodyPublishers.noBody()), "");
    }

    static HttpResponse<String> streamed() throws Exception {
        return answered(to("/v1/-/stream?chunks=3&delay_ms=5"), "data: sandbox\n\n".repeat(3));
    }

    static HttpResponse<String> post() throws Exception {
        var body = BodyPublishers.ofString(USER);
        var request = to("/v1/user").header("Content-Type", "application/json").POST(body);
        return answered(request, sha256(USER.getBytes("UTF-8")));
    }

    /** Of a length that is not known before. */
    static HttpResponse<String> chunked() throws Exception {
        var body = BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(PICTURE));
        return answered(to("/v1/picture").POST(body), sha256(PICTURE));
    }

    /** It waits for the 100, however long. */
    static HttpResponse<String> expect100() throws Exception {
        var body = BodyPublishers.ofByteArray(PICTURE);
        return answered(to("/v1/picture").expectContinue(true).POST(body), sha256(PICTURE));
    }

    static HttpResponse<String> offersHttp2() throws Exception {
        var answer = HttpClient.newHttpClient().send(to("/v1/user/list").build(), BodyHandlers.ofString());
        equal(answer.version() + " " + answer.statusCode(), "HTTP_1_1 200");
        return answer;
    }

    static HttpResponse<String> webSocket() throws Exception {
        var received = new CompletableFuture<String>();
        var closed = new CompletableFuture<Integer>();
        var listener = new WebSocket.Listener() {
            final StringBuilder text = new StringBuilder();

            @Override
            public CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean last) {
                text.append(part);
                if (last) {
                    received.complete(text.toString());
                }
                socket.request(1);
                return null;
            }

            @Override
            public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
                closed.complete(code);
                return null;
            }

            @Override
            public void onError(WebSocket socket, Throwable error) {
                received.completeExceptionally(error);
            }
        };
        var uri = URI.create(JING.replaceFirst("http", "ws") + "/v1/-/websocket");
        var opening = client.newWebSocketBuilder().connectTimeout(PATIENCE).buildAsync(uri, listener);
        var socket = opening.get(20, TimeUnit.SECONDS);
        socket.sendText(USER, true);
        equal(received.get(20, TimeUnit.SECONDS), USER);
        socket.sendClose(WebSocket.NORMAL_CLOSURE, "done");
        equal(closed.get(20, TimeUnit.SECONDS).toString(), "1000");
        return null;
    }

    static HttpRequest.Builder to(String path) {
        return HttpRequest.newBuilder(URI.create(JING + path)).timeout(PATIENCE);
    }

    static HttpResponse<String> answered(HttpRequest.Builder request, String part) throws Exception {
        var answer = client.send(request.build(), BodyHandlers.ofString());
        if (answer.statusCode() != 200 || !answer.body().contains(part)) {
            throw new Exception(answer.statusCode() + ", no <<" + part + ">> in: " + answer.body());
        }
        return answer;
    }

    static void expire() throws Exception {
        var expire = HttpRequest.newBuilder(URI.create(SANDBOX + "/-/fault?kind=expire"));
        client.send(expire.POST(BodyPublishers.noBody()).build(), BodyHandlers.discarding());
    }

    static long rejected() throws Exception {
        var state = HttpRequest.newBuilder(URI.create(SANDBOX + "/-/state")).build();
        var counts = Pattern.compile("\"rejected\": (\\d+)");
        var found = counts.matcher(client.send(state, BodyHandlers.ofString()).body());
        return found.results().mapToLong(count -> Long.parseLong(count.group(1))).sum();
    }

    static Call dead(Call call) {
        return () -> {
            expire();
            var answer = call.run();
            equal(answer.headers().firstValue("tokenward-retry").orElse("none"), "recovered");
            return answer;
        };
    }

    static void check(String name, Call call) {
        var result = "ok";
        try {
            call.run();
        } catch (Exception error) {
            result = error.toString().replaceAll("\\s+", " ");
        }
        var version = Runtime.version().feature();
        System.out.println("HttpClient Java " + version + "\t" + name + "\t" + result);
    }

    static void equal(String found, String expected) throws Exception {
        if (!found.equals(expected)) {
            throw new Exception(found + " instead of " + expected);
        }
    }

    static String sha256(byte[] data) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(data));
    }

    static final Duration PATIENCE = Duration.ofSeconds(20);
}
