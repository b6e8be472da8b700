import Base
import Testing

@Suite("JSON") struct JSONTests {
    @Test(
        "What is read is written back",
        arguments: [
            "null", "true", "[]", "{}", "[1,-2.5e3,18446744073709551615]", #"{"a":[{"b":"c"}],"a2":""}"#,
            #""\"\\\n\t\u0001\u003c é 😀""#,
        ])
    func roundTrip(text: String) throws {
        #expect(try JSON.parse(Array(text.utf8)).text == text)
    }

    @Test("Escapes and surrogates are decoded")
    func escapes() throws {
        #expect(try JSON.parse(Array(#""\ud83d\ude00\u00e9\/""#.utf8)) == .string("😀é/"))
        #expect(try JSON.parse(Array(#""\ud83dx""#.utf8)) == .string("\u{FFFD}x"))
    }

    @Test(
        "What is no JSON is refused with the offset",
        arguments: ["", "[", "{\"a\"}", "[1,]", "tru", "\"a", "1 2", "{1:2}", "\"\\x\"", "\"\u{1}\"", "01x", "-"])
    func refused(text: String) {
        #expect(throws: JSONError.self) { try JSON.parse(Array(text.utf8)) }
    }

    @Test("Nesting is limited")
    func depth() {
        let deep = String(repeating: "[", count: 10_000)
        #expect(throws: JSONError.self) { try JSON.parse(Array(deep.utf8)) }
    }
}
