// Says what is wrong with objects of Kubernetes. Called by kubernetes_schema.py: stdin has a JSON list of [schema, object], the
// argument is the folder of the schemas, and stdout gets a JSON list with the list of what is wrong with each.

import {readFileSync} from 'node:fs';
import {pathToFileURL} from 'node:url';

// The schemas let fields pass that they do not know, as API servers do; here these are mistakes. A validator reads what it knows, so
// what it has not read is what it does not know.
function watch(value, path, unread) {
  if (value === null || typeof value !== 'object') return value;
  const inside = new Map();
  for (const key of Object.keys(value)) {
    // The package was made by leaving out the schemas' descriptions, and with them the fields of that name.
    if (key !== 'description') unread.add(`${path}/${key}`);
  }
  return new Proxy(value, {
    get(target, key, receiver) {
      const found = Reflect.get(target, key, receiver);
      if (typeof key !== 'string' || !Object.hasOwn(target, key)) return found;
      unread.delete(`${path}/${key}`);
      if (!inside.has(key)) inside.set(key, watch(found, `${path}/${key}`, unread));
      return inside.get(key);
    },
  });
}

const answers = [];
for (const [schema, object] of JSON.parse(readFileSync(0, 'utf8'))) {
  const {validate} = await import(pathToFileURL(`${process.argv[2]}/${schema}.js`).href);
  const unread = new Set();
  const wrong = validate(watch(object, '', unread)) ? [] : validate.errors.map((error) => `${error.instancePath} ${error.message ?? error.keyword}`);
  answers.push([...wrong, ...[...unread].map((path) => `${path} is not known`)]);
}
process.stdout.write(JSON.stringify(answers));
