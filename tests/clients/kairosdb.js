// kairosdb of npm: version, points, a query. Arguments: host, port.
'use strict';
const assert = require('assert');
const client = require('kairosdb').init(process.argv[2], process.argv[3]);

const points = [
  { name: 'js.load', timestamp: 1000, value: 321, tags: { host: 'server' } },
  { name: 'js.load', datapoints: [[2000, 1.5]], tags: { host: 'server' } },
];
const question = {
  start_absolute: 0,
  metrics: [{ name: 'js.load', group_by: [{ name: 'tag', tags: ['host'] }] }],
};
client.version((error, version) => {
  assert.ifError(error);
  assert(version.version.startsWith('KairosDB '), version);
  client.datapoints(points, (error) => {
    assert.ifError(error);
    client.query(question, (error, answer) => {
      assert.ifError(error);
      const [{ sample_size: size, results: [result] }] = answer.queries;
      assert.strictEqual(size, 2);
      assert.deepStrictEqual(result.values, [[1000, 321], [2000, 1.5]]);
      assert.deepStrictEqual(result.group_by[0].group, { host: 'server' });
      client.query({ start_absolute: 0 }, (error) => {
        assert(/400/.test(error.message), error);
        // It leaves the bodies of refusals unread and would wait for their connections.
        process.exit(0);
      });
    });
  });
});
