package millrace.connect;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.postgresql.PGProperty;
import org.postgresql.plugin.AuthenticationPlugin;
import org.postgresql.plugin.AuthenticationRequestType;
import org.postgresql.util.PSQLException;
import org.postgresql.util.PSQLState;
import software.amazon.awssdk.auth.credentials.AwsCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.AwsSessionCredentials;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.core.exception.SdkException;

/**
 * Logs pgjdbc in to a database of RDS or Aurora with a token of IAM in place of a password, made anew for each connection: a
 * token is good for 15 minutes, and a connector connects again whenever it likes. The token is signed here; no service is
 * called but that which gives the credentials of the role.
 *
 * <p>Debezium hands properties that begin with "driver." to pgjdbc:
 * driver.authenticationPluginClassName=millrace.connect.RdsIamLogin, driver.millrace.region=eu-west-1.
 *
 * <p>What a token is: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.html; how a query is
 * signed: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html (2026-11-27).
 */
public final class RdsIamLogin implements AuthenticationPlugin {
  private static final String REGION = "millrace.region";
  private static final String SERVICE = "rds-db";
  private static final int EXPIRES_SECONDS = 900;
  private static final DateTimeFormatter TIME =
      DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);
  /** One for all connections: it keeps credentials until they are about to expire. */
  private static final AwsCredentialsProvider CREDENTIALS =
      DefaultCredentialsProvider.builder().build();

  private final Properties properties;
  private final AwsCredentialsProvider credentials;
  private final Clock clock;

  /** What pgjdbc calls, with the properties of the connection. */
  public RdsIamLogin(Properties properties) {
    this(properties, CREDENTIALS, Clock.systemUTC());
  }

  RdsIamLogin(Properties properties, AwsCredentialsProvider credentials, Clock clock) {
    this.properties = properties;
    this.credentials = credentials;
    this.clock = clock;
  }

  @Override
  public char[] getPassword(AuthenticationRequestType type) throws PSQLException {
    // To a server that wants a hash of it, a token is of no use, and RDS asks for it as it is.
    if (type != AuthenticationRequestType.CLEARTEXT_PASSWORD) {
      throw refused("The database asks for " + type + ", and takes no token of IAM. Grant rds_iam to the role.", null);
    }
    String host = required(PGProperty.PG_HOST.getName());
    String port = required(PGProperty.PG_PORT.getName());
    String user = required(PGProperty.USER.getName());
    try {
      return token(host, port, user, required(REGION), credentials.resolveCredentials(), clock.instant()).toCharArray();
    } catch (SdkException | GeneralSecurityException error) {
      throw refused("No token of IAM could be made: " + error.getMessage(), error);
    }
  }

  static String token(
      String host, String port, String user, String region, AwsCredentials credentials, Instant now)
      throws GeneralSecurityException {
    String time = TIME.format(now);
    String day = time.substring(0, 8);
    String scope = String.join("/", day, region, SERVICE, "aws4_request");
    Map<String, String> query = new TreeMap<>();
    query.put("Action", "connect");
    query.put("DBUser", user);
    query.put("X-Amz-Algorithm", "AWS4-HMAC-SHA256");
    query.put("X-Amz-Credential", credentials.accessKeyId() + "/" + scope);
    query.put("X-Amz-Date", time);
    query.put("X-Amz-Expires", String.valueOf(EXPIRES_SECONDS));
    query.put("X-Amz-SignedHeaders", "host");
    if (credentials instanceof AwsSessionCredentials) {
      query.put("X-Amz-Security-Token", ((AwsSessionCredentials) credentials).sessionToken());
    }
    String canonicalQuery =
        query.entrySet().stream()
            .map(each -> encoded(each.getKey()) + "=" + encoded(each.getValue()))
            .collect(Collectors.joining("&"));
    String request =
        String.join("\n", "GET", "/", canonicalQuery, "host:" + host + ":" + port, "", "host", hex(sha256("")));
    String toSign = String.join("\n", "AWS4-HMAC-SHA256", time, scope, hex(sha256(request)));
    byte[] key = ("AWS4" + credentials.secretAccessKey()).getBytes(StandardCharsets.UTF_8);
    for (String part : new String[] {day, region, SERVICE, "aws4_request"}) key = hmac(key, part);
    return host + ":" + port + "/?" + canonicalQuery + "&X-Amz-Signature=" + hex(hmac(key, toSign));
  }

  private String required(String name) throws PSQLException {
    String value = properties.getProperty(name);
    if (value != null && !value.isEmpty()) return value;
    throw refused("The property " + name + " of the connection is missing.", null);
  }

  private static PSQLException refused(String problem, Exception cause) {
    return new PSQLException(problem, PSQLState.INVALID_PASSWORD, cause);
  }

  /** Everything but letters, digits, "-", ".", "_" and "~". */
  private static String encoded(String text) {
    StringBuilder result = new StringBuilder();
    for (byte each : text.getBytes(StandardCharsets.UTF_8)) {
      boolean isPlain =
          (each >= 'a' && each <= 'z')
              || (each >= 'A' && each <= 'Z')
              || (each >= '0' && each <= '9')
              || "-._~".indexOf(each) >= 0;
      result.append(isPlain ? String.valueOf((char) each) : String.format("%%%02X", each));
    }
    return result.toString();
  }

  private static byte[] sha256(String text) throws GeneralSecurityException {
    return MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
  }

  private static byte[] hmac(byte[] key, String text) throws GeneralSecurityException {
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(key, "HmacSHA256"));
    return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
  }

  private static String hex(byte[] bytes) {
    StringBuilder result = new StringBuilder();
    for (byte each : bytes) result.append(String.format("%02x", each));
    return result.toString();
  }
}
