/**
 * Print the labels that OHIF's adapter reads from a DICOM segmentation, as JSON:
 *
 *   node read_seg.js SEGMENTATION IMAGE...
 *
 * layers: for each layer of segments that do not overlap, for each image with labels ("SOPInstanceUID/frame"), its
 * pixels row by row as base64 of 16 bits, little-endian. segments: names by number. messages: warnings of the adapter.
 */

import { readFileSync } from 'node:fs';
import { register } from 'node:module';
import dcmjs from 'dcmjs';

register('./hooks.js', import.meta.url);
const { createFromDICOMSegBuffer } = await import('@cornerstonejs/adapters/cornerstone3D/Segmentation/generateToolState');
const { messages, sizes } = await import('./cornerstone.js');

const first = (value) => (Array.isArray(value) ? value[0] : value);
const numbers = (value) => [...value].map(Number);

function bytesOf(path) {
  const file = readFileSync(path);
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
}

function datasetOf(path) {
  const { DicomMessage, DicomMetaDictionary } = dcmjs.data;
  return DicomMetaDictionary.naturalizeDataset(DicomMessage.readFile(bytesOf(path)).dict);
}

/** Position, directions and distances of a frame: its own, else those of all frames, else those of the file. */
function placeOf(dataset, frame) {
  const own = dataset.PerFrameFunctionalGroupsSequence?.[frame - 1];
  const shared = first(dataset.SharedFunctionalGroupsSequence);
  const found = (group, keyword) =>
    first(own?.[group])?.[keyword] ?? first(shared?.[group])?.[keyword] ?? dataset[keyword];
  return {
    ImagePositionPatient: numbers(found('PlanePositionSequence', 'ImagePositionPatient')),
    ImageOrientationPatient: numbers(found('PlaneOrientationSequence', 'ImageOrientationPatient')),
    PixelSpacing: numbers(found('PixelMeasuresSequence', 'PixelSpacing')),
  };
}

/** What the viewer knows of every image, by its id; ids as of images that a browser fetches. */
function instancesOf(paths) {
  const found = new Map();
  for (const path of paths) {
    const dataset = datasetOf(path);
    const count = Number(dataset.NumberOfFrames ?? 1);
    for (let frame = 1; frame <= count; frame += 1) {
      const id = `wadors:images/${dataset.SOPInstanceUID}/frames/${frame}`;
      found.set(id, { ...dataset, ...placeOf(dataset, frame) });
      sizes.set(id, [dataset.Rows, dataset.Columns]);
    }
  }
  return found;
}

function provider(instances) {
  const modules = {
    instance: (each) => each,
    generalImageModule: (each) => ({ sopInstanceUID: each.SOPInstanceUID }),
    generalSeriesModule: (each) => ({ seriesInstanceUID: each.SeriesInstanceUID }),
    imagePlaneModule: (each) => ({
      rows: each.Rows,
      columns: each.Columns,
      rowCosines: each.ImageOrientationPatient.slice(0, 3),
      columnCosines: each.ImageOrientationPatient.slice(3),
      imagePositionPatient: each.ImagePositionPatient,
      rowPixelSpacing: each.PixelSpacing[0],
      columnPixelSpacing: each.PixelSpacing[1],
    }),
  };
  return {
    get: (name, id) => (instances.has(id) ? modules[name]?.(instances.get(id)) : undefined),
    add: (id, name, dataset) => instances.set(id, dataset),
  };
}

function pixelsOf(layer) {
  const found = {};
  for (const image of layer) {
    const pixels = image.getPixelData();
    if (pixels.some(Boolean)) {
      const key = image.referencedImageId.replace('wadors:images/', '').replace('/frames', '');
      found[key] = Buffer.from(pixels.buffer).toString('base64');
    }
  }
  return found;
}

const [segmentation, ...images] = process.argv.slice(2);
const instances = instancesOf(images);
const read = await createFromDICOMSegBuffer([...instances.keys()], bytesOf(segmentation), {
  metadataProvider: provider(instances),
});
const segments = read.segMetadata.data.filter(Boolean).map((each) => [each.SegmentNumber, each.SegmentLabel]);
const layers = read.labelMapImages.map(pixelsOf);
process.stdout.write(JSON.stringify({ layers, segments: Object.fromEntries(segments), messages }));
