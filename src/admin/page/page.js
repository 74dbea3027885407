"use strict";
// Keeps the page as the gateway has it: frames hold the parts that have changed, rendered there.
const parts = id => document.getElementById(id);
const LONGEST_SILENCE = 25_000;
const BETWEEN_TRIES = 10_000;
let source, silence;

// Makes `old` equal to `fresh` and touches nothing that is so already: focus, selection and whoever
// reads aloud stay where they are.
function become(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) return void (old.nodeValue = fresh.nodeValue);
    for (const { name } of [...old.attributes]) {
        if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
        if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const [olds, news] = [[...old.childNodes], [...fresh.childNodes]];
    olds.slice(news.length).forEach(node => node.remove());
    news.forEach((node, place) => olds[place] ? become(olds[place], node) : old.append(node));
}

function show({ data }) {
    const frame = JSON.parse(data);
    // Of another process, or with more or fewer upstreams.
    if (frame.by !== document.documentElement.dataset.by) return location.reload();
    for (const [id, html] of frame.parts) {
        const old = parts(id);
        if (!old) return location.reload();
        const fresh = old.cloneNode(false);
        fresh.innerHTML = html;
        become(old, fresh);
    }
    if (document.title !== frame.title) document.title = frame.title;
    document.querySelector("link[rel=icon]").href = frame.icon;
    parts("at").textContent = frame.at;
    heard(true);
}

function heard(alive) {
    clearTimeout(silence);
    if (alive) silence = setTimeout(() => heard(false), LONGEST_SILENCE);
    parts("way").textContent = alive ? "· live" : "· not live";
    const lost = alive ? "" : `Nothing heard since ${parts("at").textContent}: what stands below is old.`;
    if (parts("lost").textContent !== lost) parts("lost").textContent = lost;
    document.documentElement.classList.toggle("old", !alive);
}

function listen() {
    source?.close();
    source = new EventSource("events");
    source.onmessage = show;
    source.onerror = () => {
        heard(false);
        // Refused, as when too many listen: the browser itself would not try again.
        if (source.readyState === EventSource.CLOSED) setTimeout(watch, BETWEEN_TRIES);
    };
}

// A page that nobody sees holds no connection.
function watch() {
    if (!document.hidden) return listen();
    clearTimeout(silence);
    source?.close();
}
document.addEventListener("visibilitychange", watch);
watch();
