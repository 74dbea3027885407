<?php
// PHP's curl extension.

const USER = '{"name":"张三","tags":["a","b"]}';
define('PICTURE', str_repeat("not really a picture\n", 10_000));
define('JING', getenv('JING'));
define('AICLK', getenv('AICLK'));

// One handle, as a program that keeps its connection has it.
$curl = curl_init();

$get = fn (array $options = []) => equal(call('/v1/user/list?page=1', $options)->query, 'page=1');
$post = fn () => equal(
    call('/v1/user', [CURLOPT_POSTFIELDS => USER, CURLOPT_HTTPHEADER => ['Content-Type: application/json']])->body_sha256,
    hash('sha256', USER),
);
$upload = fn (array $options = []) => equal(call('/v1/picture', $options + reading(PICTURE))->body_sha256, hash('sha256', PICTURE));
$form = function () {
    $file = tempnam(getenv('WORK'), 'picture');
    file_put_contents($file, PICTURE);
    $fields = ['file' => new CURLFile($file, 'image/png', 'a.png'), 'name' => 'a'];
    $data = call('', [CURLOPT_URL => AICLK . '/openapi/picture', CURLOPT_POSTFIELDS => $fields]);
    equal($data->body_length > strlen(PICTURE), true);
};
$asking = [
    CURLOPT_HTTP_VERSION => CURL_HTTP_VERSION_1_1,
    CURLOPT_HTTPHEADER => ['Expect: 100-continue', 'Content-Type: image/png'],
    CURLOPT_POSTFIELDS => PICTURE,
];
// On a connection that it had kept, curl 7.88 fails before it sends anything, whatever the server.
$http2 = [CURLOPT_HTTP_VERSION => CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE, CURLOPT_FRESH_CONNECT => true];
$http10 = [CURLOPT_HTTP_VERSION => CURL_HTTP_VERSION_1_0];

check('GET', $get);
check('HEAD', function () {
    $answer = answer('/v1/user/list', [CURLOPT_NOBODY => true]);
    equal([$answer->status, $answer->body], [200, '']);
});
check('streamed answer', function () {
    $answer = answer('/v1/-/stream?chunks=3&delay_ms=5');
    equal($answer->body, str_repeat("data: sandbox\n\n", 3));
});
check('POST JSON', $post);
// As it is written: curl sends it so.
check('JSON in the query', function () {
    $data = call('/v1/user/list?filter={"name":["a","b"]}');
    equal($data->query, 'filter={%22name%22:[%22a%22,%22b%22]}');
});
check('chunked upload', $upload);
check('multipart upload', $form);
$expect100 = function () use ($asking) {
    $answer = answer('/v1/picture', $asking);
    equal([$answer->status, str_contains($answer->head, 'HTTP/1.1 100')], [200, true]);
};
check('Expect: 100-continue', $expect100);
check('Expect, refused', function () use ($asking) {
    $answer = answer('/v1/oauth2/token', $asking);
    equal([$answer->status, $answer->sent], [403, 0]);
});
check('keep-alive', function () use ($get) {
    global $curl;
    $get();
    $get();
    equal(curl_getinfo($curl, CURLINFO_NUM_CONNECTS), 0);
});
check('HTTP/1.0', fn () => $get($http10));
check('HTTP/2, prior knowledge', fn () => $upload($http2));
check('dead token, GET', dead($get));
check('dead token, POST JSON', dead($post));
check('dead token, upload', dead($upload));
check('dead token, multipart', dead($form));
check('dead token, Expect', dead($expect100));
check('dead token, HTTP/1.0', dead(fn () => $get($http10)));
check('dead token, HTTP/2', dead(fn () => $upload($http2)));

/** What the vendor says of the call that it got. */
function call(string $path, array $options = []): object
{
    $answer = answer($path, $options);
    if ($answer->status !== 200) {
        throw new Exception("$answer->status: $answer->body");
    }
    return json_decode($answer->body)->data;
}

function answer(string $path, array $options = []): object
{
    global $curl, $head;
    $head = '';
    curl_reset($curl);
    curl_setopt_array($curl, $options + [
        CURLOPT_URL => JING . $path,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 20,
        CURLOPT_HEADERFUNCTION => function ($_, $line) use (&$head) {
            $head .= $line;
            return strlen($line);
        },
    ]);
    $body = curl_exec($curl);
    if ($body === false) {
        throw new Exception(curl_error($curl));
    }
    $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
    $sent = (int) curl_getinfo($curl, CURLINFO_SIZE_UPLOAD);
    return (object) compact('status', 'head', 'body', 'sent');
}

/** Of a length that is not known before. */
function reading(string $body): array
{
    $stream = fopen('php://memory', 'w+');
    fwrite($stream, $body);
    rewind($stream);
    $read = fn ($curl, $in, $size) => fread($stream, $size);
    return [CURLOPT_UPLOAD => true, CURLOPT_READFUNCTION => $read];
}

function dead(callable $call): callable
{
    return function () use ($call) {
        global $head;
        answer('', [CURLOPT_URL => getenv('SANDBOX') . '/-/fault?kind=expire', CURLOPT_POST => true, CURLOPT_POSTFIELDS => '']);
        $call();
        equal(preg_match('/^tokenward-retry: (.*)\r$/mi', $head, $retry) ? $retry[1] : '', 'recovered');
    };
}

function check(string $name, callable $call): void
{
    $result = 'ok';
    try {
        $call();
    } catch (Throwable $error) {
        $result = preg_replace('/\s+/', ' ', $error->getMessage());
    }
    echo 'curl PHP ', PHP_MAJOR_VERSION, '.', PHP_MINOR_VERSION, "\t$name\t$result\n";
}

function equal(mixed $found, mixed $expected): void
{
    if ($found !== $expected) {
        throw new Exception(json_encode($found) . ' instead of ' . json_encode($expected));
    }
}
