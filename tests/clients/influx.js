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
}

main().catch((error) => { console.error(error); process.exit(1); });
