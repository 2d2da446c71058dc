import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.SchemaCompatibility.SchemaCompatibilityType;
import org.apache.avro.SchemaValidationException;
import org.apache.avro.SchemaValidatorBuilder;

/**
 * Avro's own verdicts, as a filter from lines to lines.
 *
 * <p>A line in, as JSON: `writer` and `reader`, the texts of two schemas. A line out: `compatible`, what
 * SchemaCompatibility says; `decodes`, what SchemaValidator says, which asks for the decoder's own grammar: true, false,
 * or the error that Avro has instead.
 */
public final class AvroCompatibility {
  private static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] args) throws IOException {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    for (String line = in.readLine(); line != null; line = in.readLine()) out.println(answer(JSON.readTree(line)));
    out.flush();
  }

  private static ObjectNode answer(JsonNode line) {
    Schema writer = new Schema.Parser().parse(line.get("writer").textValue());
    Schema reader = new Schema.Parser().parse(line.get("reader").textValue());
    ObjectNode answer = JSON.createObjectNode();
    answer.put("compatible", isCompatible(writer, reader));
    try {
      answer.put("decodes", decodes(writer, reader));
    } catch (AvroRuntimeException | StackOverflowError error) {
      answer.put("decodes", error.getClass().getSimpleName());
    }
    return answer;
  }

  private static boolean isCompatible(Schema writer, Schema reader) {
    try {
      return SchemaCompatibility.checkReaderWriterCompatibility(reader, writer).getType()
          == SchemaCompatibilityType.COMPATIBLE;
    } catch (AvroRuntimeException error) {
      // Several of the writer's fields for one of the reader's are no verdict, but an error.
      if (error.getMessage().contains("matches multiple fields")) return false;
      throw error;
    }
  }

  private static boolean decodes(Schema writer, Schema reader) {
    try {
      new SchemaValidatorBuilder().canReadStrategy().validateLatest().validate(reader, List.of(writer));
      return true;
    } catch (SchemaValidationException incompatible) {
      return false;
    }
  }
}
