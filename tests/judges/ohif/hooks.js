/** The parts of the viewer that the adapter imports, taken from cornerstone.js. */

const PARTS = new Set(['@cornerstonejs/core', '@cornerstonejs/metadata', '@cornerstonejs/tools']);

export function resolve(specifier, context, next) {
  if (PARTS.has(specifier)) {
    return { url: new URL('./cornerstone.js', import.meta.url).href, shortCircuit: true };
  }
  return next(specifier, context);
}
