import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { CERTIFICATES } from "./certificates.ts";
import { tempDir } from "./temp.ts";

/** The registry of the distribution project (`docker-registry` of Debian), with a directory of its own. */
export interface DockerRegistry extends Disposable {
  /** `localhost:PORT` */
  readonly host: string;
  readonly url: string;
  /** Directory with a `ca.crt`: for skopeo's --src-cert-dir, or as certs.d/HOST. */
  readonly certificates: string;
  /** File in the form of auth.json with the name and password. */
  readonly authFile: string;
  /** What was asked for and sent, so far. */
  accesses(): Access[];
}

export interface Access {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Bytes of the body that were written. */
  readonly sent: number;
}

export interface DockerRegistryOptions {
  /** With the certificate of the test authority; true by default. */
  readonly tls?: boolean;
  /** Undefined: everybody is let in. */
  readonly user?: { readonly username: string; readonly password: string };
  /** Where its files are to be: below the usual place for temporary files by default. */
  readonly below?: string;
}

/** Needs the tool `docker-registry`. */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const { tls = true, user } = options;
  const files = tempDir(options.below);
  const port = await freePort();
  const host = `localhost:${port}`;
  const url = `${tls ? "https" : "http"}://${host}`;
  const log = files.join("log");
  const authFile = files.join("auth.json");
  const certificates = files.join("certificates");
  await Bun.write(join(certificates, "ca.crt"), readFileSync(CERTIFICATES.ca));
  if (user !== undefined) {
    const login = `${user.username}:${user.password}`;
    writeFileSync(files.join("htpasswd"), `${user.username}:${await bcrypt(user.password)}\n`);
    writeFileSync(authFile, JSON.stringify({ auths: { [host]: { auth: btoa(login) } } }));
  }
  const config = {
    version: "0.1",
    log: { accesslog: { disabled: false }, level: "warn" },
    storage: { filesystem: { rootdirectory: files.join("storage") }, delete: { enabled: true } },
    http: {
      addr: `localhost:${port}`,
      secret: "of the test",
      ...(tls && { tls: { certificate: CERTIFICATES.serverCert, key: CERTIFICATES.serverKey } }),
    },
    ...(user !== undefined && { auth: { htpasswd: { realm: "test", path: files.join("htpasswd") } } }),
  };
  // YAML is a superset of JSON
  writeFileSync(files.join("config.yml"), JSON.stringify(config));
  const output = openSync(log, "w");
  const child = Bun.spawn(["docker-registry", "serve", files.join("config.yml")], {
    stdin: "ignore",
    stdout: output,
    stderr: output,
  });
  closeSync(output);
  const registry: DockerRegistry = {
    host,
    url,
    certificates,
    authFile,
    accesses: () => parseAccessLog(readFileSync(log, "latin1")),
    [Symbol.dispose]: () => {
      child.kill("SIGKILL");
      files[Symbol.dispose]();
    },
  };
  for (let tries = 0; !(await answers(url)); tries++) {
    if (child.exitCode !== null || tries === 100) {
      const said = readFileSync(log, "utf8");
      registry[Symbol.dispose]();
      throw new Error(`docker-registry does not start: ${said.slice(-2000)}`);
    }
    await Bun.sleep(100);
  }
  return registry;
}

async function bcrypt(password: string): Promise<string> {
  return await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 });
}

async function answers(url: string): Promise<boolean> {
  try {
    const ca = readFileSync(CERTIFICATES.ca, "utf8");
    const { status } = await fetch(`${url}/v2/`, { tls: { ca } });
    return status === 200 || status === 401;
  } catch {
    return false;
  }
}

/** The lines in the form of Apache's combined log: HOST - USER [TIME] "METHOD PATH PROTOCOL" STATUS BYTES "…" "…" */
function parseAccessLog(text: string): Access[] {
  const line = /^\S+ - \S+ \[[^\]]*\] "(\S+) (\S+) [^"]*" (\d+) (\d+) /gm;
  return [...text.matchAll(line)].map(([, method = "", path = "", status, sent]) => ({
    method,
    path: decodeURIComponent(path),
    status: Number(status),
    sent: Number(sent),
  }));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
