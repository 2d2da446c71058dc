/** The client without pg's pool and its native variant, which a Lambda bundle would carry for nothing. */
declare module 'pg/lib/client.js' {
  import { Client } from 'pg';
  export default Client;
}
