const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** `999 B`, `1.2 MiB`: at most four digits. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `999 B`, `5.22 KiB`: what pull prints on stdout, which scripts know. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : twoDecimals(value)} ${UNITS[unit]}`;
}

/** Halves go to the even digit, as the reference prints them; `toFixed` takes the larger. */
function twoDecimals(value: number): string {
  const below = Math.floor(value * 100);
  // Of numbers that a double holds, only odd multiples of an eighth lie in the middle.
  const isHalf = (value * 8) % 2 === 1;
  return (isHalf && below % 2 === 0 ? below / 100 : value).toFixed(2);
}

/** `7s`, `3m07s`, `2h05m` */
export function formatDuration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${String(s % 60).padStart(2, "0")}s`;
  return `${Math.floor(s / 3600)}h${String(Math.floor((s % 3600) / 60)).padStart(2, "0")}m`;
}
