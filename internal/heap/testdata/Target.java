import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;

/** The service that the tests read: it does what the lines on its stdin say and ends with it. */
public class Target {
  static final List<byte[]> kept = new ArrayList<>();
  static volatile byte[] garbage;

  public static void main(String[] args) throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    System.out.println("ready " + ProcessHandle.current().pid());
    for (String line; (line = in.readLine()) != null; ) {
      String[] word = line.split(" ");
      int n = Integer.parseInt(word[1]);
      switch (word[0]) {
        case "garbage" -> { for (int i = 0; i < n; i++) garbage = new byte[1 << 20]; garbage = null; }
        case "keep" -> { for (int i = 0; i < n; i++) kept.add(new byte[(1 << 20) - 64]); }
        case "drop" -> kept.clear();
        case "gc" -> System.gc();
        default -> System.out.println("no command " + word[0]);
      }
      System.out.println("end " + word[0]);
    }
  }
}
