// Looks at the status page in a real Chromium, by its DevTools protocol, and tells what it has found
// as lines of JSON. What to look at is its only argument:
//   {"page": URL, "refresh": URL, "devtools": port, "axe": file or null, "pictures": folder or null}
"use strict";
const { readFileSync, writeFileSync } = require("node:fs");
const http = require("node:http");
const WebSocket = require("ws");

const plan = JSON.parse(process.argv[2]);
const axe = plan.axe && readFileSync(plan.axe, "utf8");
const PATIENCE = 25_000;
const LOOK_AGAIN = 50;

const tell = finding => process.stdout.write(JSON.stringify(finding) + "\n");

function call(method, url) {
    return new Promise((resolve, reject) => {
        const request = http.request(url, { method, headers: { "Content-Length": 0 } }, answer => {
            let text = "";
            answer.on("data", piece => text += piece);
            answer.on("end", () => resolve({ status: answer.statusCode, text }));
        });
        request.on("error", reject);
        request.end();
    });
}

async function until(what, holds) {
    const end = Date.now() + PATIENCE;
    for (;;) {
        const found = await holds();
        if (found) return found;
        if (Date.now() > end) throw new Error(`not within ${PATIENCE} ms: ${what}`);
        await new Promise(resolve => setTimeout(resolve, LOOK_AGAIN));
    }
}

class Browser {
    static async at(port) {
        const { text } = await call("GET", `http://127.0.0.1:${port}/json/version`);
        const socket = new WebSocket(JSON.parse(text).webSocketDebuggerUrl, { perMessageDeflate: false });
        await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = reject; });
        return new Browser(socket);
    }

    constructor(socket) {
        Object.assign(this, { socket, calls: new Map(), tabs: new Map(), last: 0 });
        socket.on("message", text => {
            const { id, error, result, sessionId, method, params } = JSON.parse(text);
            if (!id) return this.tabs.get(sessionId)?.happened(method, params);
            const { resolve, reject } = this.calls.get(id);
            this.calls.delete(id);
            if (error) reject(new Error(error.message)); else resolve(result);
        });
    }

    send(method, params = {}, sessionId = undefined) {
        const id = ++this.last;
        this.socket.send(JSON.stringify({ id, method, params, sessionId }));
        return new Promise((resolve, reject) => this.calls.set(id, { resolve, reject }));
    }

    async tab({ width, scheme, scripts }) {
        const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
        const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
        const tab = new Tab(this, targetId, sessionId);
        this.tabs.set(sessionId, tab);
        for (const domain of ["Page", "Runtime", "Log", "Network"]) await tab.send(`${domain}.enable`);
        await tab.send("Emulation.setDeviceMetricsOverride",
            { width, height: 800, deviceScaleFactor: 1, mobile: false });
        // They are narrower than those of a phone, which lie over the page.
        await tab.send("Emulation.setScrollbarsHidden", { hidden: true });
        await tab.send("Emulation.setEmulatedMedia",
            { features: [{ name: "prefers-color-scheme", value: scheme },
                { name: "prefers-reduced-motion", value: "reduce" }] });
        await tab.send("Emulation.setScriptExecutionDisabled", { value: !scripts });
        return tab;
    }
}

class Tab {
    constructor(browser, targetId, sessionId) {
        // What the console said, what scripts threw, what a policy forbade: nothing is wanted.
        Object.assign(this, { browser, targetId, sessionId, faults: [], loads: 0 });
    }

    happened(method, params) {
        if (method === "Page.loadEventFired") this.loads++;
        if (method === "Log.entryAdded") this.faults.push(params.entry.text);
        if (method === "Runtime.consoleAPICalled") this.faults.push(JSON.stringify(params.args));
        if (method === "Runtime.exceptionThrown") this.faults.push(params.exceptionDetails.text);
    }

    send(method, params) {
        return this.browser.send(method, params, this.sessionId);
    }

    async load(url) {
        const { errorText } = await this.send("Page.navigate", { url });
        if (errorText) throw new Error(`${url}: ${errorText}`);
        await until("the page is loaded", () => this.loads > 0);
    }

    async value(expression) {
        const options = { expression, awaitPromise: true, returnByValue: true };
        const { result, exceptionDetails } = await this.send("Runtime.evaluate", options);
        if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
        return result.value;
    }

    // As DevTools sees it, scripts or not.
    async html() {
        const { root } = await this.send("DOM.getDocument", { depth: 0 });
        return (await this.send("DOM.getOuterHTML", { nodeId: root.nodeId })).outerHTML;
    }

    async picture(name) {
        const { cssContentSize } = await this.send("Page.getLayoutMetrics");
        if (plan.pictures) {
            const clip = { ...cssContentSize, scale: 1 };
            const options = { format: "png", captureBeyondViewport: true, clip };
            const { data } = await this.send("Page.captureScreenshot", options);
            writeFileSync(`${plan.pictures}/${name}.png`, Buffer.from(data, "base64"));
        }
        return cssContentSize;
    }

    close() {
        return this.browser.send("Target.closeTarget", { targetId: this.targetId });
    }
}

async function look(browser, way) {
    const tab = await browser.tab(way);
    await tab.load(plan.page);
    const isLive = `document.getElementById("way").textContent === "· live"`;
    if (way.scripts) await until("the page is live", () => tab.value(isLive));
    const { width } = await tab.picture(`${way.width}-${way.scheme}${way.scripts ? "" : "-no-scripts"}`);
    const found = { look: way, overflows: width > way.width, html: await tab.html() };
    // It is put in by DevTools, which no policy binds; without scripts it could not run.
    if (axe && way.scripts) {
        await tab.value(axe + "; true");
        const rules = `{ resultTypes: ["violations"], runOnly:
            ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }`;
        const { violations, passes } = await tab.value(`axe.run(document, ${rules})`);
        found.passes = passes.length;
        found.violations = violations.map(({ id, nodes }) =>
            `${id}: ${nodes.map(node => `${node.html} ${node.failureSummary}`).join(" | ")}`);
    }
    tell({ ...found, faults: tab.faults });
    await tab.close();
}

async function live(browser) {
    const tab = await browser.tab({ width: 1280, scheme: "light", scripts: true });
    await tab.load(plan.page);
    await tab.value(`
        globalThis.stayed = document.querySelector("#upstream-0 h2");
        globalThis.announced = 0;
        new MutationObserver(() => announced++).observe(document.getElementById("verdict"),
            { childList: true, characterData: true, subtree: true });
        true`);
    const generation = () => tab.value(`[...document.querySelectorAll(".facts > div")]
        .filter(fact => fact.textContent.startsWith("Generation")).map(fact => fact.lastChild.textContent).join()`);
    const before = await generation();
    const { status } = await call("POST", plan.refresh);
    const after = await until("another generation", async () => {
        const now = await generation();
        return now !== before && now;
    });
    const state = `({ stayed: document.contains(stayed), announced,
        injected: typeof injected, scripts: document.querySelectorAll("main script, main img").length,
        lost: document.getElementById("lost").textContent })`;
    tell({ live: { status, before, after, loads: tab.loads, ...await tab.value(state) }, faults: tab.faults });
    // From here on the gateway may end.
    const lost = await until("the page says that it is old", async () => (await tab.value(state)).lost);
    await tab.picture("lost");
    tell({ lost, loads: tab.loads });
}

async function main() {
    const browser = await Browser.at(plan.devtools);
    for (const width of [320, 1280]) {
        for (const scheme of ["light", "dark"]) {
            for (const scripts of [true, false]) await look(browser, { width, scheme, scripts });
        }
    }
    await live(browser);
    process.exit(0);
}

main().catch(error => {
    tell({ error: String(error.stack) });
    process.exitCode = 1;
    setTimeout(() => process.exit(), 100);
});
