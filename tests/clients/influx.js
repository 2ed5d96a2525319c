// influx: creates a database, writes, queries. Arguments: host, port.
const assert = require('assert');
const { InfluxDB, FieldType } = require('influx');

async function main() {
  const [host, port] = process.argv.slice(2);
  const influx = new InfluxDB({
    host, port: Number(port), database: 'nodeclient',
    schema: [{
      measurement: 'cpu', tags: ['host'],
      fields: { load: FieldType.FLOAT, count: FieldType.INTEGER, text: FieldType.STRING },
    }],
  });
  const hosts = await influx.ping(5000);
  assert(hosts.every((one) => one.online), 'a host is offline');
  await influx.createDatabase('nodeclient');
  assert((await influx.getDatabaseNames()).includes('nodeclient'));
  const points = [...Array(50).keys()].map((n) => ({
    measurement: 'cpu', tags: { host: 'web 01' }, fields: { load: n + 0.5, count: n, text: `t"${n}` },
    timestamp: 1609459200 + n,
  }));
  await influx.writePoints(points, { precision: 's' });
  const rows = await influx.query('select * from cpu order by time asc');
  assert.strictEqual(rows.length, 50);
  assert.strictEqual(rows[3].load, 3.5);
  assert.strictEqual(rows[3].text, 't"3');
  assert.strictEqual(rows[3].time.getTime(), 1609459203000);

  const grouped = await influx.query(
    'select mean(load) as load, max(count) from cpu where host = $host and time < \'2021-01-02\' group by time(10s), host fill(none)',
    { placeholders: { host: 'web 01' } });
  assert.strictEqual(grouped.groups().length, 1);
  assert.deepStrictEqual(grouped.groups()[0].tags, { host: 'web 01' });
  assert.strictEqual(grouped.groups()[0].rows[1].load, 15);
  const both = await influx.query(['select first(load) from cpu', 'select last(load) from cpu']);
  assert.deepStrictEqual([both[0][0].first, both[1][0].last], [0.5, 49.5]);
  const raw = await influx.queryRaw('select load from cpu limit 1', { precision: 'ms' });
  assert.deepStrictEqual(raw.results[0].series[0].values, [[1609459200000, 0.5]]);

  assert.deepStrictEqual(await influx.getMeasurements(), ['cpu']);
  assert.deepStrictEqual([...await influx.getSeries()], ['cpu,host=web\\ 01']);
  await influx.createRetentionPolicy('short', { duration: '10000d', replication: 1 });
  await influx.alterRetentionPolicy('short', { duration: '20000d', replication: 1 });
  const policies = await influx.showRetentionPolicies();
  assert.strictEqual(policies.find((one) => one.name === 'short').duration, '480000h0m0s');
  await influx.writePoints(points.slice(0, 2), { precision: 's', retentionPolicy: 'short' });
  const short = await influx.query('select load from cpu', { retentionPolicy: 'short' });
  assert.strictEqual(short.length, 2);
  await influx.createContinuousQuery('c', 'select mean(load) into rolled from cpu group by time(1h)');
  assert.strictEqual((await influx.showContinousQueries())[0].name, 'c');
  await influx.dropContinuousQuery('c');
  await influx.createUser('joe', 'it\'s');
  await influx.grantPrivilege('joe', 'READ');
  assert((await influx.getUsers()).some((one) => one.user === 'joe' && !one.admin));
  await influx.setPassword('joe', 'other');
  await influx.revokePrivilege('joe', 'READ');
  await influx.dropUser('joe');
  await assert.rejects(influx.query('select nope('), /error parsing query/);
  await assert.rejects(
    influx.writePoints([{ measurement: 'cpu', fields: { load: 'text' } }], { database: 'nowhere' }));
  await influx.dropMeasurement('rolled');
}

main().catch((error) => { console.error(error); process.exit(1); });
