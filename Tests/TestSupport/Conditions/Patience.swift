// For its constructor, which raises the limits of the process that runs the tests.
import CTestProcess

/// The one factor that limits of the tests are scaled by.
///
/// A limit in a test ends a hang; it does not measure speed, which is what `make bench` is for. The machine that runs the tests may
/// be shared, and a sanitizer makes every program several times slower, so each limit is written for an idle machine and multiplied.
public enum Patience {
    public static let factor = Sanitizer.isAbsent ? 3 : 8
}
