import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CERTIFICATES } from "./certificates.ts";

/** What a user has configured for the tools for containers. */
export interface ContainersHome {
  /** `NAME:PASSWORD` by registry. */
  readonly logins?: Readonly<Record<string, string>>;
  /** Registries with a certificate of the test authority. */
  readonly trusted?: readonly string[];
  /** Registries that want a client certificate. */
  readonly clientCertificates?: readonly string[];
  /** Text of registries.conf. */
  readonly registries?: string;
  /** policy.json; anything is accepted without one. */
  readonly policy?: object;
}

/**
 * Makes a home directory.
 * @returns the environment in which programs find it, and nothing of the user who runs the tests.
 */
export function writeContainersHome(home: string, what: ContainersHome): Record<string, string | undefined> {
  const { logins = {}, trusted = [], clientCertificates = [], registries = "" } = what;
  const { policy = { default: [{ type: "insecureAcceptAnything" }] } } = what;
  const put = (path: string, content: string | Uint8Array) => {
    const file = join(home, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  };
  const auths = Object.entries(logins).map(([host, login]) => [host, { auth: btoa(login) }]);
  put(".docker/config.json", JSON.stringify({ auths: Object.fromEntries(auths) }));
  put(".config/containers/policy.json", JSON.stringify(policy));
  put(".config/containers/registries.conf", registries);
  const certificates = ".config/containers/certs.d";
  for (const host of trusted) put(join(certificates, host, "ca.crt"), readFileSync(CERTIFICATES.ca));
  for (const host of clientCertificates) {
    put(join(certificates, host, "client.cert"), readFileSync(CERTIFICATES.clientCert));
    put(join(certificates, host, "client.key"), readFileSync(CERTIFICATES.clientKey));
  }
  return {
    HOME: home,
    XDG_RUNTIME_DIR: undefined,
    REGISTRY_AUTH_FILE: undefined,
    DOCKER_CONFIG: undefined,
    CONTAINERS_REGISTRIES_CONF: undefined,
    HTTP_PROXY: undefined,
    HTTPS_PROXY: undefined,
    NO_PROXY: undefined,
    http_proxy: undefined,
    https_proxy: undefined,
    no_proxy: undefined,
  };
}
