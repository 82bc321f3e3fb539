/** What the adapter calls of the viewer Cornerstone3D, without a screen: comparisons, empty label maps and a log. */

/** Warnings of the adapter, for example about frames whose image it does not find. */
export const messages = [];

/** Rows and columns of the images by their id. */
export const sizes = new Map();

const log = {
  getLogger: () => log,
  debug: () => {},
  info: () => {},
  warn: (...words) => messages.push(words.join(' ')),
  error: (...words) => messages.push(words.join(' ')),
};

const asArray = (value) => (Array.isArray(value) ? value : value === undefined ? [] : [value]);
const toNumber = (value) => (Array.isArray(value) ? value.map(Number) : value === undefined ? value : Number(value));

function isEqual(a, b, tolerance = 1e-5) {
  const first = [...asArray(a)];
  const second = [...asArray(b)];
  return first.length === second.length && first.every((n, k) => Math.abs(n - second[k]) <= tolerance);
}

function toFiniteVector(values, length) {
  const numbers = asArray(toNumber(values));
  return numbers.length === length && numbers.every(Number.isFinite) ? numbers : undefined;
}

function signedDistanceToPlane(point, origin, normal) {
  return normal.reduce((sum, n, k) => sum + n * (point[k] - origin[k]), 0);
}

export const utilities = {
  asArray,
  isEqual,
  toFiniteVector,
  toNumber,
  logger: { adaptersLog: log },
  throttle: (call) => call,
  voxelSlab: { signedDistanceToPlane },
  FrameRange: { imageIdToFrameStart: (id) => Number(/frames\/(\d+)/.exec(id)?.[1]) || undefined },
};

export const imageLoader = {
  createAndCacheDerivedLabelmapImage(referencedImageId) {
    const [rows, columns] = sizes.get(referencedImageId);
    const pixels = new Uint16Array(rows * columns);
    return { referencedImageId, getPixelData: () => pixels };
  },
};

export const Enums = { MetadataModules: { IMAGE_DATA: 'instance', IMAGE_PLANE: 'imagePlaneModule' } };
export const eventTarget = {};
export const triggerEvent = () => {};
