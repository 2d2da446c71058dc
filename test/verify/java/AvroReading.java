import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.Map;
import org.apache.avro.NameValidator;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericFixed;
import org.apache.avro.generic.IndexedRecord;
import org.apache.avro.io.DecoderFactory;

/**
 * What Avro for Java reads, as a filter from lines to lines.
 *
 * <p>A line in, as JSON: `writer` and `reader`, the texts of two schemas; `values`, Avro bodies in base64. A line out: an
 * answer for each: `value`, or `error`, the name of what was thrown. Numbers are texts, bytes the characters of their
 * codes, and a union's value stands behind its branch's place: {"branch": 1, "value": "x"}.
 */
public final class AvroReading {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

  public static void main(String[] args) throws IOException {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    for (String line = in.readLine(); line != null; line = in.readLine()) out.println(answers(JSON.readTree(line)));
    out.flush();
  }

  private static ArrayNode answers(JsonNode line) throws IOException {
    ArrayNode answers = NODES.arrayNode();
    for (JsonNode body : line.get("values")) {
      ObjectNode answer = answers.addObject();
      try {
        Schema reader = parse(line.get("reader"));
        Object value =
            new GenericDatumReader<Object>(parse(line.get("writer")), reader)
                .read(null, DecoderFactory.get().binaryDecoder(body.binaryValue(), null));
        answer.set("value", json(reader, value));
      } catch (IOException | RuntimeException | StackOverflowError error) {
        answer.put("error", error.getClass().getSimpleName());
      }
    }
    return answers;
  }

  /** As Confluent's deserializer parses: a registry may hold what Avro would not take. */
  private static Schema parse(JsonNode text) {
    return new Schema.Parser(NameValidator.NO_VALIDATION).setValidateDefaults(false).parse(text.textValue());
  }

  private static JsonNode json(Schema schema, Object value) {
    switch (schema.getType()) {
      case NULL:
        return NODES.nullNode();
      case BOOLEAN:
        return NODES.booleanNode((Boolean) value);
      case FLOAT:
        return NODES.textNode(Double.toString((Float) value));
      case BYTES:
        return NODES.textNode(StandardCharsets.ISO_8859_1.decode(((ByteBuffer) value).duplicate()).toString());
      case FIXED:
        return NODES.textNode(new String(((GenericFixed) value).bytes(), StandardCharsets.ISO_8859_1));
      case ARRAY:
        ArrayNode items = NODES.arrayNode();
        for (Object item : (Collection<?>) value) items.add(json(schema.getElementType(), item));
        return items;
      case MAP:
        ObjectNode map = NODES.objectNode();
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
          map.set(entry.getKey().toString(), json(schema.getValueType(), entry.getValue()));
        }
        return map;
      case UNION:
        int branch = GenericData.get().resolveUnion(schema, value);
        ObjectNode union = NODES.objectNode();
        union.put("branch", branch);
        union.set("value", json(schema.getTypes().get(branch), value));
        return union;
      case RECORD:
        ObjectNode record = NODES.objectNode();
        for (Schema.Field field : schema.getFields()) {
          record.set(field.name(), json(field.schema(), ((IndexedRecord) value).get(field.pos())));
        }
        return record;
      default:
        return NODES.textNode(String.valueOf(value));
    }
  }
}
