const path = require('path'), fs = require('fs');
const [folder, socket, port, good, bad] = process.argv.slice(2);
const modules = path.join(folder, 'node_modules');
(async () => {
  const NodeClam = require(path.join(modules, 'clamscan'));
  const clam = await new NodeClam().init({ clamscan: { active: false }, clamdscan: { socket, localFallback: false, path: null }, preference: 'clamdscan' });
  console.log('clamscan version', await clam.getVersion());
  console.log('clamscan bad', JSON.stringify((await clam.isInfected(bad)).viruses));
  console.log('clamscan good', (await clam.isInfected(good)).isInfected);
  console.log('clamscan stream', JSON.stringify((await clam.scanStream(fs.createReadStream(bad))).viruses));
  const clamd = require(path.join(modules, 'clamdjs'));
  console.log('clamdjs ping', await clamd.ping('127.0.0.1', Number(port), 5000));
  const scanner = clamd.createScanner('127.0.0.1', Number(port));
  console.log('clamdjs bad', JSON.stringify(await scanner.scanBuffer(fs.readFileSync(bad), 5000, 8)));
  console.log('clamdjs good', JSON.stringify(await scanner.scanFile(good, 5000)));
})().catch((error) => { console.error(error); process.exit(1); });
