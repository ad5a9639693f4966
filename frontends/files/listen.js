// Loaded before a Node program (node --require): its servers, which name a port and no address, listen on
// the addresses in RACKFORM_LISTEN ("3001=10.78.0.11 8888=127.0.0.1") and not on every interface.
const net = require("node:net");

const addresses = new Map(
  (process.env.RACKFORM_LISTEN || "").split(" ").filter(Boolean).map((entry) => entry.split("="))
);
const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (port, ...rest) {
  const address = addresses.get(String(port));
  const named = typeof rest[0] === "string";
  return address && !named ? listen.call(this, Number(port), address, ...rest) : listen.call(this, port, ...rest);
};
