public import EtcdProto

/// What a change of users and roles, or a request without the right to it, is refused with.
extension EtcdError {
    public static let userEmpty = EtcdError(.invalidArgument, "etcdserver: user name is empty")
    public static let userExists = EtcdError(.failedPrecondition, "etcdserver: user name already exists")
    public static let userNotFound = EtcdError(.failedPrecondition, "etcdserver: user name not found")
    public static let roleEmpty = EtcdError(.invalidArgument, "etcdserver: role name is empty")
    public static let roleExists = EtcdError(.failedPrecondition, "etcdserver: role name already exists")
    public static let roleNotFound = EtcdError(.failedPrecondition, "etcdserver: role name not found")
    public static let roleNotGranted = EtcdError(
        .failedPrecondition, "etcdserver: role is not granted to the user")
    public static let permissionNotGranted = EtcdError(
        .failedPrecondition, "etcdserver: permission is not granted to the role")
    public static let permissionNotGiven = EtcdError(.invalidArgument, "etcdserver: permission not given")
    public static let permissionDenied = EtcdError(.permissionDenied, "etcdserver: permission denied")
    public static let rootUserMissing = EtcdError(.failedPrecondition, "etcdserver: root user does not exist")
    public static let rootRoleMissing = EtcdError(
        .failedPrecondition, "etcdserver: root user does not have root role")
    public static let invalidAuthManagement = EtcdError(.invalidArgument, "etcdserver: invalid auth management")
    public static let oldAuthRevision = EtcdError(
        .invalidArgument, "etcdserver: revision of auth store is old")
}
