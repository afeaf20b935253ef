import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CfsError } from "../../errors.ts";

/** Where a docker daemon listens. */
export interface DaemonAddress {
  /** Without a path. */
  readonly url: string;
  /** Path of a unix socket; the host in `url` means nothing then. */
  readonly socket?: string;
  readonly tls?: {
    readonly ca: string;
    readonly cert: string;
    readonly key: string;
    readonly rejectUnauthorized: boolean;
  };
}

const DEFAULT_SOCKET = "/var/run/docker.sock";

/**
 * The daemon that docker's environment variables name: DOCKER_HOST, and DOCKER_CERT_PATH and DOCKER_TLS_VERIFY for TLS.
 * @throws CfsError Unsupported for an address that can't be reached this way, Io for certificates that can't be read
 */
export function daemonAddress(env: Readonly<Record<string, string | undefined>>): DaemonAddress {
  const host = env.DOCKER_HOST || `unix://${DEFAULT_SOCKET}`;
  const [, scheme, rest] = /^([a-z]+):\/\/(.+)$/.exec(host) ?? [];
  if (scheme === "unix") return { url: "http://docker", socket: rest! };
  if ((scheme === "tcp" || scheme === "http" || scheme === "https") && isAuthority(rest!)) {
    const directory = env.DOCKER_CERT_PATH;
    if (!directory) return { url: `${scheme === "https" ? "https" : "http"}://${trimmed(rest!)}` };
    return {
      url: `https://${trimmed(rest!)}`,
      tls: {
        ca: readPem(directory, "ca.pem"),
        cert: readPem(directory, "cert.pem"),
        key: readPem(directory, "key.pem"),
        rejectUnauthorized: Boolean(env.DOCKER_TLS_VERIFY),
      },
    };
  }
  throw new CfsError("Unsupported", `DOCKER_HOST is ${host}, which can't be used`, {
    hint: "unix://PATH and tcp://HOST:PORT are understood; or use `docker save` and pull docker-archive:FILE",
  });
}

function isAuthority(text: string): boolean {
  return /^[^/?#@\s]+\/?$/.test(text);
}

function trimmed(authority: string): string {
  return authority.replace(/\/$/, "");
}

function readPem(directory: string, name: string): string {
  const path = join(directory, name);
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CfsError("Io", `can't read ${path}, which DOCKER_CERT_PATH asks for`, { cause: error });
  }
}
