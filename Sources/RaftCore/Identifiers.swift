// The identifiers that the API speaks in. Whoever imports this module has them, too.
@_exported public import struct Base.LogIndex
@_exported public import struct Base.MemberID
@_exported public import struct Base.Term
