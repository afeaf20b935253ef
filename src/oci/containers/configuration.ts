import { claimProxyVariables, proxyFor } from "../../http/proxy.ts";
import type { TlsFiles } from "../../http/settings.ts";
import type { Credentials, RegistryConfiguration } from "../registry/types.ts";
import { certificatesFor } from "./certificates.ts";
import { findCredentials } from "./credentials.ts";
import { endpointsOf } from "./endpoints.ts";
import { type Places, usualPlaces } from "./places.ts";
import { type MergedRegistriesConf, readRegistriesConf } from "./registries-conf-files.ts";

/** What the user says about registries on the command line. */
export interface RegistryOptions {
  /** File with credentials, before those of the user. */
  readonly authFile?: string;
  /** Directory with certificates, instead of those of containers-certs.d(5). */
  readonly certDir?: string;
  /** False: certificates need not be valid, and plain HTTP will do, for every registry. */
  readonly tlsVerify?: boolean;
}

/** A configuration that knows short names as well. */
export interface UserRegistryConfiguration extends RegistryConfiguration {
  /** containers-registries.conf(5) and its drop-in files. */
  readonly conf: MergedRegistriesConf;
}

/**
 * The user's and the system's configuration of registries. Files are read when they are first needed, so that this
 * costs nothing for an image that comes from no registry.
 * @param places where to look, for tests; environment and directories of the user unless given.
 */
export function loadRegistryConfiguration(
  { authFile, certDir, tlsVerify = true }: RegistryOptions = {},
  places: Places = usualPlaces(),
): UserRegistryConfiguration {
  const environment = { ...places.environment, ...claimProxyVariables() };
  const here = {
    ...places,
    environment: places.environment === process.env ? environment : places.environment,
  };
  let conf: MergedRegistriesConf | undefined;
  const registriesConf = () => (conf ??= readRegistriesConf(here));
  const credentials = new Map<string, Promise<Credentials | undefined>>();
  const certificates = new Map<string, TlsFiles>();
  return {
    get conf() {
      return registriesConf();
    },
    endpoints(reference, access) {
      const endpoints = endpointsOf(reference, registriesConf(), access);
      return tlsVerify ? endpoints : endpoints.map((endpoint) => ({ ...endpoint, insecure: true }));
    },
    credentials(host, path) {
      const key = `${host}/${path}`;
      let found = credentials.get(key);
      if (found === undefined) {
        found = findCredentials(host, path, registriesConf().credentialHelpers, here, authFile);
        credentials.set(key, found);
      }
      return found;
    },
    tls(host) {
      let found = certificates.get(host);
      if (found === undefined) {
        found = certificatesFor(host, here, certDir);
        certificates.set(host, found);
      }
      return found;
    },
    proxy: (url) => proxyFor(url, here.environment),
  };
}
