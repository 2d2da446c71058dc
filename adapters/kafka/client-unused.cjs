// What a function's bundle has in place of packages that Kafka's client loads: ajv, which takes most of the client's loading to
// compile a check for each kind of options there is, and avsc, of which the client's own codecs are made. The options are
// Millrace's own, and the tests have the whole client check them.
class Ajv {
  addKeyword() {}
  compile() {
    return () => true;
  }
}
module.exports = { Ajv, Ajv2020: Ajv, default: Ajv };
