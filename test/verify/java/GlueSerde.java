import com.amazonaws.services.schemaregistry.deserializers.GlueSchemaRegistryKafkaDeserializer;
import com.amazonaws.services.schemaregistry.serializers.GlueSchemaRegistryKafkaSerializer;
import com.amazonaws.services.schemaregistry.utils.AWSSchemaRegistryConstants;
import com.amazonaws.services.schemaregistry.utils.AvroRecordType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.util.Utf8;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;

/**
 * AWS's Kafka serializer and deserializer for Glue's schema registry, as a filter from lines to lines.
 *
 * <p>Arguments: Glue's endpoint, the registry. A line in, as JSON: `topic`, `schema` (its text), `schemaId` (left out: the
 * serializer asks Glue by definition), `json` (the value in Avro's JSON encoding), and the same value framed by
 * Millrace, in base64: `none`, `zlib`. A line out: `readsNone` and `readsZlib`, whether the deserializer makes that value of
 * these; `none` and `zlib`, the value as the serializer frames it.
 */
public final class GlueSerde {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final AwsCredentialsProvider NOBODY =
      StaticCredentialsProvider.create(AwsBasicCredentials.create("verify", "verify"));

  private final Map<String, Object> settings = new HashMap<>();
  private final GlueSchemaRegistryKafkaDeserializer deserializer;
  private final Map<String, GlueSchemaRegistryKafkaSerializer> serializers = new HashMap<>();
  private final Map<String, Schema> schemas = new HashMap<>();

  private GlueSerde(String endpoint, String registry) {
    settings.put(AWSSchemaRegistryConstants.AWS_ENDPOINT, endpoint);
    settings.put(AWSSchemaRegistryConstants.AWS_REGION, "eu-west-1");
    settings.put(AWSSchemaRegistryConstants.REGISTRY_NAME, registry);
    settings.put(AWSSchemaRegistryConstants.DATA_FORMAT, "AVRO");
    settings.put(AWSSchemaRegistryConstants.AVRO_RECORD_TYPE, AvroRecordType.GENERIC_RECORD.getName());
    deserializer = new GlueSchemaRegistryKafkaDeserializer(NOBODY, settings);
  }

  public static void main(String[] args) throws IOException {
    GlueSerde serde = new GlueSerde(args[0], args[1]);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      out.println(serde.answer(JSON.readTree(line)));
    }
    out.flush();
  }

  private ObjectNode answer(JsonNode line) throws IOException {
    String topic = line.get("topic").textValue();
    Schema schema = schemas.computeIfAbsent(line.get("schema").textValue(), text -> new Schema.Parser().parse(text));
    Object value = valueOf(schema, JSON.readTree(line.get("json").textValue()));
    ObjectNode answer = JSON.createObjectNode();
    answer.put("readsNone", value.equals(deserializer.deserialize(topic, line.get("none").binaryValue())));
    answer.put("readsZlib", value.equals(deserializer.deserialize(topic, line.get("zlib").binaryValue())));
    answer.put("none", serializer(line, "NONE").serialize(topic, value));
    answer.put("zlib", serializer(line, "ZLIB").serialize(topic, value));
    return answer;
  }

  private GlueSchemaRegistryKafkaSerializer serializer(JsonNode line, String compression) {
    JsonNode schemaId = line.get("schemaId");
    return serializers.computeIfAbsent(compression + schemaId, key -> {
      Map<String, Object> all = new HashMap<>(settings);
      all.put(AWSSchemaRegistryConstants.COMPRESSION_TYPE, compression);
      UUID id = schemaId == null ? null : UUID.fromString(schemaId.textValue());
      GlueSchemaRegistryKafkaSerializer serializer = new GlueSchemaRegistryKafkaSerializer(NOBODY, id, all);
      serializer.configure(all, false);
      return serializer;
    });
  }

  /** Avro's own JsonDecoder has no NaN and no infinities. */
  private static Object valueOf(Schema schema, JsonNode json) {
    switch (schema.getType()) {
      case NULL:
        return null;
      case BOOLEAN:
        return json.booleanValue();
      case INT:
        return json.intValue();
      case LONG:
        return json.longValue();
      case FLOAT:
        return json.isTextual() ? Float.parseFloat(json.textValue()) : json.floatValue();
      case DOUBLE:
        return json.isTextual() ? Double.parseDouble(json.textValue()) : json.doubleValue();
      case STRING:
        return new Utf8(json.textValue());
      case BYTES:
        return ByteBuffer.wrap(bytesOf(json));
      case FIXED:
        return new GenericData.Fixed(schema, bytesOf(json));
      case ENUM:
        return new GenericData.EnumSymbol(schema, json.textValue());
      case ARRAY:
        List<Object> items = new ArrayList<>();
        for (JsonNode item : json) items.add(valueOf(schema.getElementType(), item));
        return items;
      case MAP:
        Map<Utf8, Object> entries = new HashMap<>();
        json.fields().forEachRemaining(
            entry -> entries.put(new Utf8(entry.getKey()), valueOf(schema.getValueType(), entry.getValue())));
        return entries;
      case UNION:
        if (json.isNull()) return null;
        String branch = json.fieldNames().next();
        return valueOf(schema.getTypes().get(schema.getIndexNamed(branch)), json.get(branch));
      case RECORD:
        GenericData.Record record = new GenericData.Record(schema);
        for (Schema.Field field : schema.getFields()) record.put(field.pos(), valueOf(field.schema(), json.get(field.name())));
        return record;
      default:
        throw new IllegalArgumentException(schema.getType().getName());
    }
  }

  /** Avro writes bytes as the characters of these codes. */
  private static byte[] bytesOf(JsonNode json) {
    return json.textValue().getBytes(StandardCharsets.ISO_8859_1);
  }
}
