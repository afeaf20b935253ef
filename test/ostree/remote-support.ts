import { type RemoteOptions, RemoteRepository } from "../../src/ostree/remote/remote-repository.ts";
import type { RemoteSettings } from "../../src/ostree/remote/remote-settings.ts";
import { NO_VERIFICATION } from "../../src/ostree/signature/verification.ts";

export const QUICK: Pick<RemoteOptions, "retries" | "timeouts"> = {
  retries: { attempts: 6, firstDelay: 1, maxDelay: 4, maxRetryAfter: 1000 },
  timeouts: { reply: 400, finish: 400, speedWindow: 400, lowSpeed: 1024 },
};

export function settings(url: string, more: Partial<RemoteSettings> = {}): RemoteSettings {
  return { url, tls: { permissive: false }, verification: NO_VERIFICATION, ...more };
}

export function openUrl(url: string, options: RemoteOptions = {}): Promise<RemoteRepository> {
  return RemoteRepository.open(settings(url), { ...QUICK, ...options });
}
