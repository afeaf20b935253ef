import { afterAll, describe, expect, test } from "bun:test";
import { claimProxyVariables, proxyFor } from "../../src/http/proxy.ts";
import { failure } from "../oci/containers/support.ts";

const PROXIES = { HTTP_PROXY: "http://plain:3128", HTTPS_PROXY: "http://secure:3128" };

describe("which proxy", () => {
  test.each([
    ["by protocol: https", "https://a.example/", PROXIES, "http://secure:3128/"],
    ["by protocol: http", "http://a.example/", PROXIES, "http://plain:3128/"],
    ["https has no other", "https://a.example/", { HTTP_PROXY: "http://plain:3128" }, undefined],
    ["lower case", "https://a.example/", { https_proxy: "http://lower:1" }, "http://lower:1/"],
    [
      "upper case first",
      "https://a.example/",
      { ...PROXIES, https_proxy: "http://lower:1" },
      "http://secure:3128/",
    ],
    [
      "empty is unset",
      "https://a.example/",
      { HTTPS_PROXY: "", https_proxy: "http://lower:1" },
      "http://lower:1/",
    ],
    ["without a protocol", "http://a.example/", { HTTP_PROXY: "plain:3128" }, "http://plain:3128/"],
    ["with a password", "http://a.example/", { HTTP_PROXY: "http://u:p@plain" }, "http://u:p@plain/"],
    [
      "not from a request to a CGI program",
      "http://a.example/",
      { ...PROXIES, REQUEST_METHOD: "GET" },
      undefined,
    ],
    ["localhost", "http://localhost:5000/", PROXIES, undefined],
    ["127.0.0.0/8", "http://127.8.9.10/", PROXIES, undefined],
    ["::1", "https://[::1]:5000/", PROXIES, undefined],
  ])("%s", (_name, url, variables, proxy) => {
    expect(proxyFor(new URL(url), variables)).toBe(proxy);
  });

  /** The rules of Go's golang.org/x/net/http/httpproxy. */
  test.each([
    ["", "a.example.com", true],
    ["*", "a.example.com", false],
    ["example.com", "example.com", false],
    ["example.com", "a.example.com", false],
    ["example.com", "badexample.com", true],
    [".example.com", "example.com", true],
    [".example.com", "a.example.com", false],
    ["*.example.com", "example.com", true],
    ["*.example.com", "a.b.example.com", false],
    ["EXAMPLE.com", "Example.Com", false],
    [" other , example.com ", "example.com", false],
    ["example.com:443", "example.com", false],
    ["example.com:5000", "example.com", true],
    ["example.com:5000", "example.com:5000", false],
    ["192.0.2.1", "192.0.2.1", false],
    ["192.0.2.1", "192.0.2.2", true],
    ["192.0.2.1:5000", "192.0.2.1", true],
    ["192.0.2.1:5000", "192.0.2.1:5000", false],
    ["192.0.2.0/24", "192.0.2.77", false],
    ["192.0.2.0/24", "192.0.3.1", true],
    ["192.0.2.0/99", "192.0.2.1", true],
    ["2001:db8::/32", "[2001:db8::5]", false],
    ["2001:db8::5", "[2001:db8:0::5]:5000", false],
    ["[2001:db8::5]:5000", "[2001:db8::5]:5000", false],
    ["[2001:db8::5]:5000", "[2001:db8::5]", true],
    ["0.0.2.1", "192.0.2.1", true],
    [":443", "example.com", true],
    [",,", "example.com", true],
  ])("NO_PROXY=%s, https://%s", (noProxy, host, proxied) => {
    const proxy = proxyFor(new URL(`https://${host}/`), { ...PROXIES, NO_PROXY: noProxy });
    expect(proxy !== undefined).toBe(proxied);
    expect(proxyFor(new URL(`https://${host}/`), { ...PROXIES, no_proxy: noProxy })).toBe(proxy);
  });

  test.each([
    ["socks5://user:hidden@x:1", "HTTP_PROXY: proxies of type socks5 can't be used"],
    ["http://user:hidden@:x", "HTTP_PROXY is not the URL of a proxy"],
  ])("refuses %s without showing a password", (value, message) => {
    const text = failure(() => proxyFor(new URL("http://a.example/"), { HTTP_PROXY: value }));
    expect(text).toBe(message);
  });
});

describe("fetch", () => {
  const proxy = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("proxy") });
  const origin = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("origin") });
  afterAll(() => {
    proxy.stop(true);
    origin.stop(true);
  });
  const get = async (init?: BunFetchRequestInit) => (await fetch(origin.url, init)).text();

  test("has no proxy but the one that it is given, once the variables are claimed", async () => {
    process.env.HTTP_PROXY = proxy.url.href;
    process.env.NO_PROXY = "127.0.0.1";
    const variables = claimProxyVariables();
    expect(variables).toMatchObject({ HTTP_PROXY: proxy.url.href, NO_PROXY: "127.0.0.1" });
    expect(process.env.HTTP_PROXY).toBeUndefined();
    expect(await get()).toBe("origin");
    // NO_PROXY would let this go to the origin
    expect(await get({ proxy: proxy.url.href })).toBe("proxy");
    expect(claimProxyVariables()).toMatchObject({ HTTP_PROXY: proxy.url.href });
    process.env.HTTP_PROXY = process.env.NO_PROXY = "";
    expect(claimProxyVariables()).toMatchObject({ HTTP_PROXY: "", NO_PROXY: "" });
  });
});
