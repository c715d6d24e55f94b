import com.sun.management.HotSpotDiagnosticMXBean;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/** A service that the tests capture. Its cache breathes, its requests leave garbage, and on demand it leaks. */
public class Service {
  static final class CachedTile { byte[] pixels = new byte[8000]; String name = new String("tile"); }

  static final class RememberedSession {
    String user;
    byte[] state = new byte[900];
    RememberedSession(int id) { user = "user" + id; }
  }

  static final class Request { List<String> items = new ArrayList<>(); }

  static final Map<Integer, CachedTile> cache = new HashMap<>();
  static final Map<Integer, RememberedSession> sessions = new HashMap<>();
  static int served;

  static void breathe(int mib) {
    int want = mib * 128;
    while (cache.size() < want) cache.put(served++, new CachedTile());
    for (Iterator<Integer> i = cache.keySet().iterator(); cache.size() > want; i.remove()) i.next();
  }

  static void serve(int n) {
    for (int i = 0; i < n; i++) {
      Request r = new Request();
      for (int k = 0; k < 50; k++) r.items.add("item " + k);
      served += r.items.size();
    }
  }

  static void leak(int mib) {
    for (int i = 0; i < mib * 1024; i++) sessions.put(served++, new RememberedSession(i));
  }

  static void snapshot() throws Exception {
    Path dir = Files.createTempDirectory("spillway-evidence");
    Path file = dir.resolve("heap.hprof");
    ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class).dumpHeap(file.toString(), true);
    Files.delete(file);
    Files.delete(dir);
  }

  public static void main(String[] args) throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    System.out.println("ready " + ProcessHandle.current().pid());
    for (String line; (line = in.readLine()) != null; ) {
      String[] word = line.split(" ");
      int n = Integer.parseInt(word[1]);
      System.out.println("begin " + word[0]);
      switch (word[0]) {
        case "breathe" -> breathe(n);
        case "serve" -> serve(n);
        case "leak" -> leak(n);
        case "snapshot" -> snapshot();
        default -> Thread.sleep(n);
      }
      System.out.println("end " + word[0]);
    }
  }
}
