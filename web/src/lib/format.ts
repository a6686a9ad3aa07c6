export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    ++unit;
  }
  return unit === 0 ? `${n} B` : `${n.toFixed(1)} ${units[unit]}`;
}

// Layers [0, 12) are shown as people count them: "0–11".
export function layerSpan([begin, end]: [number, number]): string {
  return end - begin === 1 ? `layer ${begin}` : `layers ${begin}–${end - 1}`;
}
