import { join } from "node:path";
import { tempDir } from "./temp.ts";

/** What a browser did with a page. */
export interface Visit {
  /** Everything that was said on the console, exceptions and refused content included. */
  readonly messages: readonly string[];
  /** All that was asked for, the page itself first. */
  readonly requests: readonly string[];
  /** Value of the expression. */
  readonly value: unknown;
  /** PNG of the whole page. */
  readonly screenshot: Buffer;
}

export interface View {
  readonly width: number;
  readonly scheme: "light" | "dark";
  /** JavaScript that is evaluated in the page when it is complete. */
  readonly expression: string;
}

export const CHROMIUM = Bun.which("chromium") ?? Bun.which("chromium-browser") ?? Bun.which("google-chrome");

/**
 * Opens a page in headless Chromium, once for each view, and watches it by the browser's debugging protocol
 * (https://chromedevtools.github.io/devtools-protocol/).
 */
export async function visit(url: string, views: readonly View[]): Promise<Visit[]> {
  using profile = tempDir();
  const browser = Bun.spawn(
    [
      CHROMIUM!,
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-dev-shm-usage",
      "--remote-debugging-port=0",
      `--user-data-dir=${profile.path}`,
      "about:blank",
    ],
    { stdout: "ignore", stderr: "ignore", env: { ...process.env, HOME: profile.path } },
  );
  try {
    const port = await debuggingPort(join(profile.path, "DevToolsActivePort"));
    const visits: Visit[] = [];
    for (const view of views) visits.push(await visitOnce(port, url, view));
    return visits;
  } finally {
    browser.kill("SIGKILL");
    await browser.exited;
  }
}

async function debuggingPort(path: string): Promise<number> {
  for (const end = Date.now() + 30_000; Date.now() < end; await Bun.sleep(50)) {
    const file = Bun.file(path);
    const port = (await file.exists()) ? Number((await file.text()).split("\n")[0]) : 0;
    if (port > 0) return port;
  }
  throw new Error("Chromium did not start");
}

async function visitOnce(port: number, url: string, view: View): Promise<Visit> {
  const answer = await fetch(`http://127.0.0.1:${port}/json/new?about:blank`, { method: "PUT" });
  const { webSocketDebuggerUrl } = (await answer.json()) as { webSocketDebuggerUrl: string };
  const page = await Page.connect(webSocketDebuggerUrl);
  try {
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await page.call(`${domain}.enable`);
    await page.call("Emulation.setDeviceMetricsOverride", {
      width: view.width,
      height: 900,
      deviceScaleFactor: 1,
      mobile: false,
    });
    const features = [{ name: "prefers-color-scheme", value: view.scheme }];
    await page.call("Emulation.setEmulatedMedia", { features });
    const loaded = page.event("Page.loadEventFired");
    await page.call("Page.navigate", { url });
    await loaded;
    const { result } = (await page.call("Runtime.evaluate", {
      expression: view.expression,
      returnByValue: true,
    })) as { result: { value: unknown } };
    const { data } = (await page.call("Page.captureScreenshot", { captureBeyondViewport: true })) as {
      data: string;
    };
    return {
      messages: page.messages,
      requests: page.requests,
      value: result.value,
      screenshot: Buffer.from(data, "base64"),
    };
  } finally {
    page.close();
  }
}

/** Events that mean that the page said something. */
const MESSAGES: ReadonlySet<string> = new Set([
  "Runtime.consoleAPICalled",
  "Runtime.exceptionThrown",
  "Log.entryAdded",
  "Page.javascriptDialogOpening",
]);

class Page {
  readonly messages: string[] = [];
  readonly requests: string[] = [];
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #events = new Map<string, PromiseWithResolvers<void>>();
  #last = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(String(data)));
  }

  static async connect(url: string): Promise<Page> {
    const socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    return new Page(socket);
  }

  async call(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#last;
    const answer = Promise.withResolvers<unknown>();
    this.#answers.set(id, answer);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return await answer.promise;
  }

  /** The next event of this kind. */
  async event(name: string): Promise<void> {
    const event = Promise.withResolvers<void>();
    this.#events.set(name, event);
    await event.promise;
  }

  close(): void {
    this.#socket.close();
  }

  #receive(message: {
    id?: number;
    result?: unknown;
    error?: { message: string };
    method?: string;
    params?: { request?: { url: string } };
  }): void {
    const { id, method = "", params } = message;
    if (id !== undefined) {
      const answer = this.#answers.get(id);
      this.#answers.delete(id);
      if (message.error === undefined) answer?.resolve(message.result);
      else answer?.reject(new Error(message.error.message));
      return;
    }
    if (MESSAGES.has(method)) this.messages.push(JSON.stringify(message));
    if (method === "Network.requestWillBeSent" && params?.request !== undefined)
      this.requests.push(params.request.url);
    this.#events.get(method)?.resolve();
  }
}
