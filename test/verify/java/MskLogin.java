import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.format.DateTimeFormatter;
import java.time.ZoneOffset;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import javax.security.auth.callback.Callback;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * Kafka, with a listener that takes logins as MSK's IAM access control does over OAUTHBEARER: a presigned request to
 * kafka-cluster:Connect of the region, younger than 15 minutes, by a key that it knows. It does not check the signature,
 * for that takes AWS. A session ends after the seconds of the system property session.seconds.
 * https://github.com/aws/aws-msk-iam-sasl-signer-js (2026-11-25)
 */
public class MskLogin {
  public static void main(String[] args) {
    // Kafka looks for classes that its settings name where its threads do.
    Thread.currentThread().setContextClassLoader(MskLogin.class.getClassLoader());
    kafka.Kafka.main(args);
  }

  public static class Validator implements AuthenticateCallbackHandler {
    @Override
    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {}

    @Override
    public void handle(Callback[] callbacks) {
      for (Callback each : callbacks) {
        if (each instanceof OAuthBearerValidatorCallback callback) {
          try {
            callback.token(read(callback.tokenValue()));
          } catch (RuntimeException e) {
            callback.error("invalid_token", null, null);
          }
        }
      }
    }

    @Override
    public void close() {}

    private static OAuthBearerToken read(String token) {
      URI uri = URI.create(new String(Base64.getUrlDecoder().decode(token), StandardCharsets.UTF_8));
      Map<String, String> query = Arrays.stream(uri.getQuery().split("&"))
          .map(pair -> pair.split("=", 2))
          .collect(Collectors.toMap(pair -> pair[0], pair -> pair[1]));
      String[] scope = query.get("X-Amz-Credential").split("/");
      Instant signed = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC)
          .parse(query.get("X-Amz-Date"), Instant::from);
      Instant end = signed.plusSeconds(Long.parseLong(query.get("X-Amz-Expires")));
      require(uri.getHost().equals("kafka.eu-west-1.amazonaws.com"));
      require(query.get("Action").equals("kafka-cluster:Connect"));
      require(query.get("X-Amz-Signature").matches("[0-9a-f]{64}"));
      require(scope[0].equals(System.getProperty("access.key")) && scope[2].equals("eu-west-1") && scope[3].equals("kafka-cluster"));
      require(end.isAfter(Instant.now()) && !end.isAfter(signed.plusSeconds(900)));
      return new Token(token, scope[0], Instant.now().plusSeconds(Long.getLong("session.seconds")).toEpochMilli());
    }

    private static void require(boolean holds) {
      if (!holds) throw new IllegalArgumentException();
    }
  }

  private record Token(String value, String principalName, long lifetimeMs) implements OAuthBearerToken {
    @Override
    public Set<String> scope() {
      return Set.of();
    }

    @Override
    public Long startTimeMs() {
      return null;
    }
  }
}
