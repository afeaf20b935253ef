import { BlockList, isIP } from "node:net";
import { CfsError } from "../errors.ts";

const NAMES = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] as const;
type ProxyVariables = Readonly<Record<string, string | undefined>>;

const claimed: Record<string, string> = {};

/**
 * Takes the variables about proxies out of the environment of this process and returns them. Bun's `fetch` applies
 * them by rules of its own, NO_PROXY even to a request with an explicit `proxy`; only their absence leaves the
 * choice to `proxyFor`.
 */
export function claimProxyVariables(): ProxyVariables {
  for (const name of NAMES) {
    const value = process.env[name];
    if (value === undefined) continue;
    claimed[name] = value;
    delete process.env[name];
  }
  return claimed;
}

/**
 * The proxy for a request, by the rules that programs in Go share: HTTPS_PROXY and HTTP_PROXY by the URL's protocol,
 * in upper case first; never for this machine; not for what NO_PROXY names.
 * @throws CfsError Invalid, Unsupported for the value of a variable
 */
export function proxyFor(url: URL, variables: ProxyVariables): string | undefined {
  const [name, value] = url.protocol === "https:" ? httpsProxy(variables) : httpProxy(variables);
  if (value === undefined || !isProxied(url, firstOf(variables, "NO_PROXY", "no_proxy")[1] ?? ""))
    return undefined;
  return proxyUrl(name, value);
}

function firstOf(variables: ProxyVariables, ...names: string[]): [name: string, value: string | undefined] {
  const name = names.find((n) => (variables[n] ?? "") !== "") ?? names[0]!;
  return [name, variables[name] === "" ? undefined : variables[name]];
}

function httpsProxy(variables: ProxyVariables): [name: string, value: string | undefined] {
  return firstOf(variables, "HTTPS_PROXY", "https_proxy");
}

/** A CGI program gets a request's header `Proxy` as HTTP_PROXY, which must not direct its own requests. */
function httpProxy(variables: ProxyVariables): [name: string, value: string | undefined] {
  const isCgi = (variables.REQUEST_METHOD ?? "") !== "";
  return isCgi ? firstOf(variables, "http_proxy") : firstOf(variables, "HTTP_PROXY", "http_proxy");
}

/** The value of the variable may hold a password: it is not shown. */
function proxyUrl(name: string, value: string): string {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`);
  if (url === null || url.hostname === "") throw new CfsError("Invalid", `${name} is not the URL of a proxy`);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new CfsError("Unsupported", `${name}: proxies of type ${url.protocol.slice(0, -1)} can't be used`, {
      hint: "name an http or https proxy",
    });
  return url.href;
}

function isProxied(url: URL, noProxy: string): boolean {
  const host = url.hostname
    .replace(/^\[|\]$/g, "")
    .replace(/\.$/, "")
    .toLowerCase();
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  if (host === "localhost" || isLoopback(host)) return false;
  const entries = noProxy.split(",").map((entry) => entry.trim().toLowerCase());
  return !entries.some((entry) => entry !== "" && isExempt(entry, host, port));
}

function family(host: string): "ipv4" | "ipv6" | undefined {
  const version = isIP(host);
  return version === 0 ? undefined : version === 4 ? "ipv4" : "ipv6";
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

function isLoopback(host: string): boolean {
  const kind = family(host);
  return kind !== undefined && loopback.check(host, kind);
}

/** Whether one entry of NO_PROXY (`*`, an address, a subnet, a domain; those but the subnet with a port) covers a host. */
function isExempt(entry: string, host: string, port: string): boolean {
  if (entry === "*") return true;
  const kind = family(host);
  if (entry.includes("/")) return kind !== undefined && isInSubnet(entry, host, kind);
  const { name, port: only } = splitPort(entry);
  if (name === "" || (only !== undefined && only !== port)) return false;
  const nameKind = family(name);
  if (nameKind !== undefined) {
    if (kind === undefined) return false;
    const list = new BlockList();
    list.addAddress(name, nameKind);
    return list.check(host, kind);
  }
  // "*.domain" and ".domain" are for what is below the domain, "domain" for itself as well
  const domain = name.startsWith("*.") ? name.slice(1) : name;
  return domain.startsWith(".") ? host.endsWith(domain) : host === domain || host.endsWith(`.${domain}`);
}

function isInSubnet(entry: string, host: string, kind: "ipv4" | "ipv6"): boolean {
  const [address = "", bits = ""] = entry.split("/");
  const addressKind = family(address);
  if (addressKind === undefined || !/^\d{1,3}$/.test(bits)) return false;
  if (Number(bits) > (addressKind === "ipv4" ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(address, Number(bits), addressKind);
  return list.check(host, kind);
}

/** `host:port`, `[address]:port`, or either without a port; an IPv6 address needs no brackets when there is none. */
function splitPort(entry: string): { name: string; port: string | undefined } {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(entry);
  if (match === null) return { name: entry, port: undefined };
  return { name: match[1] ?? match[2] ?? "", port: match[3] };
}
