// node tint.mjs FOLDER: compiles every .wgsl file in FOLDER by Tint (Dawn's null backend) and makes its pipeline.
import { create, globals } from 'webgpu';
import fs from 'node:fs';
import path from 'node:path';

Object.assign(globalThis, globals);
const gpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
const adapter = await gpu.requestAdapter();
const names = ['maxStorageBuffersPerShaderStage', 'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupStorageSize'];
const device = await adapter.requestDevice({
  requiredFeatures: ['subgroups', 'shader-f16'],
  requiredLimits: Object.fromEntries(names.map((name) => [name, adapter.limits[name]])),
});
let accepted = 0;
const folder = process.argv[2];
for (const file of fs.readdirSync(folder).sort()) {
  const code = fs.readFileSync(path.join(folder, file), 'utf8');
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  const errors = messages.filter((message) => message.type === 'error');
  if (errors.length === 0) device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  const refused = await device.popErrorScope();
  if (errors.length === 0 && !refused) accepted += 1;
  for (const { lineNum, message } of errors) console.log(`${file}:${lineNum}: ${message}: ${code.split('\n')[lineNum - 1]}`);
  if (errors.length === 0 && refused) console.log(`${file}: ${refused.message.split('\n')[0]}`);
}
console.log(`${accepted} accepted`);
process.exit(0);
