"""What each simulated firmware knows: its commands, configurations, events and statuses, as one table."""

from typing import Final

# First column: the firmwares that have the row (Z 9.15.17.4, A 10.19.4.2, B 11.14.5.0, M 11.23.1.8,
# C 11.27.2.0, D 26.4.1; E 26.8.1 has all that D has, and what only Cisco's pages tell of, in no schema yet).
# Then the path, a colon, and the value space: `name!` is required, `=x` a default, `*n` at most so many of
# them. Indented lines go on. The published 9.15 has no events at all; what it has here is what clients of
# that age subscribe to.


COMMANDS: Final = """\
ZAB    Bookings Book: BookingRequestUUID:str[1..128] Duration:int[1..1440]=30 StartTime:str[0..128]
       Title:str[0..128]
MCD    Bookings Book: BookingRequestUUID:str[1..128] Duration:int[1..1440]=30
       MeetingPlatform:lit:MicrosoftTeams|GoogleMeet|Zoom|Webex|Other|None Number:str[0..128]
       OrganizerEmail:str[0..128] OrganizerId:str[0..128] OrganizerName:str[0..128]
       Protocol:lit:SIP|H323|ISDN|IP|Spark|WebRTC|None StartTime:str[0..128] Title:str[0..128]
D      Bookings CheckIn: Id:str[1..128] MeetingId:str[1..128] TrackingData:str[0..128]=BookingsCheckIn_API
CD     Bookings CheckOut: Id:str[1..128] MeetingId:str[1..128] TrackingData:str[0..128]=BookingsCheckOut_API
ZABMCD Bookings Clear:
Z      Bookings Delete: Id!:str[1..128]
A      Bookings Delete: MeetingId!:str[1..128]
BMCD   Bookings Delete: Id:str[1..128] MeetingId:str[1..128]
B      Bookings Edit: Duration:int[1..1440] MeetingId!:str[1..128] StartTime:str[0..128] Title:str[0..128]
MCD    Bookings Edit: Duration:int[1..1440] Id:str[1..128] MeetingId:str[1..128]
       MeetingPlatform:lit:MicrosoftTeams|GoogleMeet|Zoom|Webex|Other|None Number:str[0..128]
       OrganizerEmail:str[0..128] OrganizerId:str[0..128] OrganizerName:str[0..128]
       Protocol:lit:SIP|H323|ISDN|IP|Spark|WebRTC|None StartTime:str[0..128] Title:str[0..128]
B      Bookings Extend: Duration!:int[1..1440] Id!:str[1..128]
MCD    Bookings Extend: Duration!:int[1..1440] Id:str[1..128] MeetingId:str[1..128]
ZAB    Bookings Get: Id!:str[1..128]
MCD    Bookings Get: Id:str[1..128] MeetingId:str[1..128]
ZAB    Bookings List: DayOffset:int[0..365]=0 Days:int[1..365] Limit:int[1..65534] Offset:int[0..65534]=0
MCD    Bookings List: AccountType:lit:Shared|Personal|SharedAndPersonal DayOffset:int[0..365]=0
       Days:int[1..365] Limit:int[1..65534] Offset:int[0..65534]=0 ScheduleType:lit:Current|Upcoming
ZAB    Bookings NotificationSnooze: Id:str[0..128] SecondsToSnooze:int[1..3600]=300
MCD    Bookings NotificationSnooze: Id:str[1..128] MeetingId:str[1..128] SecondsToSnooze:int[1..3600]=300
ZABMCD Bookings Put:
AB     Bookings Respond: MeetingId!:str[1..128] Type!:lit:Accept|Decline
MCD    Bookings Respond: Comment:str[1..2048] MeetingId!:str[1..128] Type!:lit:Accept|Decline
ZABMCD HttpFeedback Deregister: FeedbackSlot!:int[1..4]
ZABMCD HttpFeedback Enable: FeedbackSlot!:int[1..4]
ZABMC  HttpFeedback Register: Expression:strs[1..255]*15 FeedbackSlot!:int[1..4] Format:lit:XML|JSON=XML
       ServerUrl!:str[1..2048]
D      HttpFeedback Register: Expression:strs[1..255]*50 FeedbackSlot!:int[1..4] Format:lit:XML|JSON=XML
       ServerUrl!:str[1..2048]
Z      Peripherals Connect: HardwareInfo:str[0..100] ID!:str[1..100] Name:str[0..100]
       NetworkAddress:str[0..100] SerialNumber:str[0..100] SoftwareInfo:str[0..100]
       Type!:lit:AudioAmplifier|AudioMicrophone|Byod|ControlSystem|Other|TouchPanel
A      Peripherals Connect: HardwareInfo:str[0..100] ID!:str[1..100] Name:str[0..100]
       NetworkAddress:str[0..100] SerialNumber:str[0..100] SoftwareInfo:str[0..100]
       Type!:lit:AudioAmplifier|AudioMicrophone|Byod|Camera|ControlSystem|Other|TouchPanel|RoomScheduler|
       PersistentWebApp
BMC    Peripherals Connect: DRAM:int[1..256] HardwareInfo:str[0..100] ID!:str[1..100] Name:str[0..100]
       NetworkAddress:str[0..100] SerialNumber:str[0..100] SoftwareInfo:str[0..100]
       Type!:lit:AudioAmplifier|AudioMicrophone|Byod|Camera|ControlSystem|Other|TouchPanel|RoomScheduler|
       PersistentWebApp
D      Peripherals Connect: HardwareInfo:str[0..100] ID!:str[1..100] Name:str[0..100]
       NetworkAddress:str[0..100] SerialNumber:str[0..100] SoftwareInfo:str[0..100]
       Type!:lit:AudioAmplifier|AudioMicrophone|Byod|Camera|ControlSystem|Other|TableExtender|TouchPanel|
       RoomScheduler|PersistentWebApp|VideoSwitcher
ZABMCD Peripherals HeartBeat: ID!:str[1..100] Timeout:int[1..65535]=60
E      RoomAnalytics RoomInUse Set: State!:lit:InUse|NotInUse Duration:int[1..3600]=300 ID:str[1..100]
ZABMCD Security Session List:
ZABMCD Standby Activate:
ZABMCD Standby Deactivate:
ZABMCD Standby Halfwake:
ZABMCD Standby ResetTimer: Delay:int[1..480]
ZABMCD SystemUnit Boot: Action:lit:Restart|Shutdown=Restart Force:lit:False|True=True
ZABMCD Time DateTime Get:
A      UserInterface LedControl Color Set: Color!:lit:Green|Yellow|Red|Off
BMCD   UserInterface LedControl Color Set:
       Color!:lit:Green|Yellow|Red|Purple|Blue|Orange|Orchid|Aquamarine|Fuchsia|Violet|Magenta|Scarlet|Gold|
       Lime|Turquoise|Cyan|Off
ZABMC  UserInterface Message Alert Clear:
D      UserInterface Message Alert Clear: PeripheralId:str[0..128] Target:lit:OSD|RoomScheduler|Controller
ZABMC  UserInterface Message Alert Display: Duration:int[0..3600]=0 Text!:str[0..255] Title:str[0..255]
D      UserInterface Message Alert Display: Duration:int[0..3600]=0 PeripheralId:str[0..128]
       Target:lit:OSD|RoomScheduler|Controller Text!:str[0..255] Title:str[0..255]
ZABMC  UserInterface Message Prompt Clear: FeedbackId:str[0..255]
D      UserInterface Message Prompt Clear: FeedbackId:str[0..255] PeripheralId:str[0..128]
       Target:lit:OSD|RoomScheduler|Controller
ZABMC  UserInterface Message Prompt Display: Duration:int[0..3600]=0 FeedbackId:str[0..255]
       Option.1:str[0..255] Option.2:str[0..255] Option.3:str[0..255] Option.4:str[0..255]
       Option.5:str[0..255] Text!:str[0..255] Title:str[0..255]
D      UserInterface Message Prompt Display: Duration:int[0..3600]=0 FeedbackId:str[0..255]
       Option.1:str[0..255] Option.2:str[0..255] Option.3:str[0..255] Option.4:str[0..255]
       Option.5:str[0..255] PeripheralId:str[0..128] Target:lit:OSD|RoomScheduler|Controller
       Text!:str[0..255] Title:str[0..255]
ZABMC  UserInterface Message Prompt Response: FeedbackId:str[0..255] OptionId!:int[1..5]
D      UserInterface Message Prompt Response: FeedbackId:str[0..255] OptionId!:int[1..5]
       Origin:lit:OSD|RoomScheduler|Controller PeripheralId:str[0..128]
ZABMC  UserInterface Message Rating Clear: FeedbackId:str[0..255]
D      UserInterface Message Rating Clear: FeedbackId:str[0..255] PeripheralId:str[0..128]
       Target:lit:OSD|RoomScheduler|Controller
ZABMC  UserInterface Message Rating Display: Duration:int[0..3600]=0 FeedbackId:str[0..255]
       SubmitReceiptText:str[0..128] SubmitReceiptTitle:str[0..40] Text!:str[0..128] Title:str[0..40]
D      UserInterface Message Rating Display: Duration:int[0..3600]=0 FeedbackId:str[0..255]
       PeripheralId:str[0..128] SubmitReceiptText:str[0..128] SubmitReceiptTitle:str[0..40]
       Target:lit:OSD|RoomScheduler|Controller Text!:str[0..128] Title:str[0..40]
ZABMC  UserInterface Message Rating Response: FeedbackId:str[0..255] Rating:int[0..5]=0
D      UserInterface Message Rating Response: FeedbackId:str[0..255] Origin:lit:OSD|RoomScheduler|Controller
       PeripheralId:str[0..128] Rating:int[0..5]=0
ZABMC  UserInterface Message TextInput Clear: FeedbackId:str[0..255]
D      UserInterface Message TextInput Clear: FeedbackId:str[0..255] PeripheralId:str[0..128]
       Target:lit:OSD|RoomScheduler|Controller
ZABMC  UserInterface Message TextInput Display: Duration:int[0..3600]=0 FeedbackId:str[0..255]
       InputText:str[0..255] InputType:lit:SingleLine|Numeric|Password|PIN=SingleLine
       KeyboardState:lit:Open|Closed=Open Placeholder:str[0..255] SubmitText:str[0..32]=OK Text!:str[0..128]
       Title:str[0..40]
D      UserInterface Message TextInput Display: Duration:int[0..3600]=0 FeedbackId:str[0..255]
       InputText:str[0..255] InputType:lit:SingleLine|Numeric|Password|PIN=SingleLine
       KeyboardState:lit:Open|Closed=Open PeripheralId:str[0..128] Placeholder:str[0..255]
       SubmitText:str[0..32]=OK Target:lit:OSD|RoomScheduler|Controller Text!:str[0..128] Title:str[0..40]
ZABMC  UserInterface Message TextInput Response: FeedbackId:str[0..255] Text!:str[0..255]
D      UserInterface Message TextInput Response: FeedbackId:str[0..255]
       Origin:lit:OSD|RoomScheduler|Controller PeripheralId:str[0..128] Text!:str[0..255]
ZABMC  UserInterface Message TextLine Clear:
D      UserInterface Message TextLine Clear: PeripheralId:str[0..128] Target:lit:OSD|RoomScheduler|Controller
ZABMC  UserInterface Message TextLine Display: Duration:int[0..3600]=0 Text!:str[0..140] X:int[1..10000]=0
       Y:int[1..10000]=0
D      UserInterface Message TextLine Display: Duration:int[0..3600]=0 PeripheralId:str[0..128]
       Target:lit:OSD|RoomScheduler|Controller Text!:str[0..140] X:int[1..10000]=0 Y:int[1..10000]=0
Z      UserInterface WebView Clear:
ABMC   UserInterface WebView Clear: Target:lit:OSD|Controller|PersistentWebApp
D      UserInterface WebView Clear: Target:lit:OSD|Controller|PersistentWebApp|RoomScheduler
Z      UserInterface WebView Display: Header:strs*15 Options:str[0..255] Title:str[0..255] Url!:str[0..2000]
AB     UserInterface WebView Display: Header:strs*15 Mode:lit:Fullscreen|Modal Options:str[0..255]
       Target:lit:OSD|Controller|PersistentWebApp Title:str[0..255] Url!:str[0..2000]
MC     UserInterface WebView Display: AllowInsecureHttps:lit:False|True Header:strs*15
       Mode:lit:Fullscreen|Modal Options:str[0..255] Target:lit:OSD|Controller|PersistentWebApp
       Title:str[0..255] Url!:str[0..2000]
D      UserInterface WebView Display: AllowInsecureHttps:lit:False|True Header:strs*15
       Mode:lit:Fullscreen|Modal Options:str[0..255]
       Target:lit:OSD|Controller|PersistentWebApp|RoomScheduler Title:str[0..255] Url!:str[0..2000]
"""

CONFIGURATIONS: Final = """\
A      Audio Ultrasound MaxVolume: int[0..90] = 70
ZBMCD  Audio Ultrasound MaxVolume: int[0..70] = 70
MCD    Bookings AdhocBooking BookAhead Enabled: lit:False|True = False
MCD    Bookings AdhocBooking BookingTimeout: int[60..300] = 60
MCD    Bookings AdhocBooking Enabled: lit:False|True = False
MCD    Bookings AllowDecline: lit:All|InsideOnly|None = All
D      Bookings CheckIn AutoCheckInDuration: int[8..24] = 8
MCD    Bookings CheckIn Enabled: lit:False|True = False
MCD    Bookings CheckIn WindowDuration: lit:5|10|15|20|30|60 = 10
MCD    Bookings DeclinableBookingType: lit:AdhocOnly|All = AdhocOnly
MCD    Bookings MaxDuration: int[0..24] = 0
ZABMCD Bookings ProtocolPriority: lit:Auto|WebRTC = Auto
ZABMCD HttpFeedback TlsVerify: lit:Off|On = On
ZABMCD HttpFeedback UseHttpProxy: lit:Off|On = On
ZABMCD NetworkServices HTTP Mode: lit:HTTP+HTTPS|HTTPS|Off = HTTPS
ZABMCD NetworkServices HTTP Proxy LoginName: str[0..80] =
ZABMCD NetworkServices HTTP Proxy Mode: lit:Manual|Off|PACUrl|WPAD = Off
ZABMCD NetworkServices HTTP Proxy PACUrl: str[0..255] =
ZABMCD NetworkServices HTTP Proxy Password: str[0..64] =
ZABMCD NetworkServices HTTP Proxy Url: str[0..255] =
ZA     NetworkServices HTTPS Server MinimumTLSVersion: lit:TLSv1.1|TLSv1.2 = TLSv1.1
B      NetworkServices HTTPS Server MinimumTLSVersion: lit:TLSv1.1|TLSv1.2|TLSv1.3 = TLSv1.1
MCD    NetworkServices HTTPS Server MinimumTLSVersion: lit:TLSv1.1|TLSv1.2|TLSv1.3 = TLSv1.2
ZABMCD NetworkServices HTTPS StrictTransportSecurity: lit:Off|On = Off
ZABMCD NetworkServices HTTPS VerifyClientCertificate: lit:Off|On = Off
ZABMCD NetworkServices SSH HostKeyAlgorithm: lit:ECDSA|RSA|ed25519 = RSA
MCD    NetworkServices SSH KeyExchangeAlgorithms AllowLegacy: lit:Off|On = On
ZABMCD NetworkServices SSH Mode: lit:Off|On = On
Z      NetworkServices Websocket: lit:FollowHTTPService|Off = Off
ABMCD  NetworkServices Websocket: lit:FollowHTTPService|Off = FollowHTTPService
ZABMC  Provisioning Mode: lit:Auto|CUCM|Edge|Off|TMS|VCS|Webex = Auto
D      Provisioning Mode: lit:Auto|Off|Webex = Auto
ZABMCD RoomAnalytics AmbientNoiseEstimation Interval: int[10..60] = 10
ZABMCD RoomAnalytics AmbientNoiseEstimation Mode: lit:Off|On = Off
ZABMCD RoomAnalytics PeopleCountOutOfCall: lit:Off|On = Off
BMCD   RoomAnalytics PeoplePresence Input HeadDetector: lit:Off|On = On
BMCD   RoomAnalytics PeoplePresence Input Ultrasound: lit:Off|On = Off
ZA     RoomAnalytics PeoplePresenceDetector: lit:Off|On = Off
BMCD   RoomAnalytics PeoplePresenceDetector: lit:Off|On = On
ABMCD  RoomAnalytics ReverberationTime Interval: int[60..3600] = 1800
ABMCD  RoomAnalytics ReverberationTime Mode: lit:Off|On = Off
MCD    RoomAnalytics RoomInUse InCall: lit:Disabled|Enabled = Enabled
MCD    RoomAnalytics RoomInUse LocalUsage: lit:Disabled|Enabled = Enabled
D      RoomAnalytics RoomLayout Allowed: lit:False|True = False
ABMCD  RoomAnalytics T3AlarmDetection Mode: lit:Off|On = Off
ABMCD  RoomAnalytics T3AlarmDetection Timeout: int[5..60] = 10
BMCD   RoomScheduler BookingTimeout: int[60..300] = 60
ZABMCD RoomScheduler Enabled: lit:False|True = False
ZABMC  Security Session FailedLoginsLockoutTime: int[0..10000] = 60
D      Security Session FailedLoginsLockoutTime: int[0..10000] = 5
ZABMCD Security Session InactivityTimeout: int[0..10000] = 0
ZABMC  Security Session MaxFailedLogins: int[0..10] = 0
D      Security Session MaxFailedLogins: int[0..10] = 5
ZABMCD Security Session MaxSessionsPerUser: int[1..20] = 20
ZA     Security Session MaxTotalSessions: int[1..20] = 20
BMCD   Security Session MaxTotalSessions: int[1..30] = 30
ZABMCD Security Session ShowLastLogon: lit:Off|On = Off
ZABMCD Standby Control: lit:Off|On = On
ZABMCD Standby Delay: int[1..480] = 10
ZABMCD Standby Halfwake Mode: lit:Auto|Manual = Auto
D      Standby Level DeepSleep Delay: int[1..1440] = 8
D      Standby Level DeepSleep Mode: lit:Off|On|OutsideOfficeHours = Off
ABMCD  Standby Level Networked Delay: int[0..1440] = 2
ABMCD  Standby Level Networked Mode: lit:Off|On = On
BMCD   Standby WakeupAtMeetingStart: lit:Auto|Off = Auto
ZABMCD Standby WakeupOnMotionDetection: lit:Off|On = On
ZABMCD SystemUnit Name: str[0..50] =
ZABMCD Time Zone: zone = Etc/UTC
BMCD   UserInterface Bookings AdhocBooking DefaultTitle: str[0..32] = Ad hoc meeting
MCD    UserInterface Bookings AdhocBooking TimeSlotSize: lit:15|30|60 = 30
MCD    UserInterface Bookings AdhocBooking UseDefaultTitle: lit:False|True = False
MCD    UserInterface Bookings Visibility AllDayMeetings: lit:Auto|Hidden = Auto
BMCD   UserInterface Bookings Visibility EarlyJoin: lit:Auto|Hidden = Hidden
BMCD   UserInterface Bookings Visibility JoinedParticipants Avatars: lit:Auto|Hidden = Auto
BMCD   UserInterface Bookings Visibility MeetingReminder: lit:All|ControllerOnly = ControllerOnly
MCD    UserInterface Bookings Visibility NonJoinableMeetings: lit:Auto|Hidden = Auto
BMCD   UserInterface Bookings Visibility Organizer: lit:Auto|Hidden = Auto
MCD    UserInterface Bookings Visibility Personal FullDayCalendar: lit:Off|On = On
MCD    UserInterface Bookings Visibility Personal NonJoinableMeetings: lit:Auto|Hidden = Hidden
ABMCD  UserInterface Bookings Visibility TentativeMeetings: lit:Auto|Hidden = Auto
ZABMCD UserInterface Bookings Visibility Title: lit:Auto|Hidden = Auto
Z      UserInterface CustomMessage: str[0..128] =
ABMCD  UserInterface CustomMessage: str[0..512] =
BMCD   UserInterface Features Calendar Start: lit:Auto|Hidden = Auto
ABMCD  UserInterface LedControl Mode: lit:Auto|Manual|Off = Auto
MCD    UserInterface LedControl OutsideOfficeHours: lit:Off|On = On
ZABMCD UserInterface OSD HalfwakeMessage: str[0..128] =
BMCD   UserInterface RoomScheduler AmbientTemperature Show: lit:Auto|Hidden|ShowCelsius|ShowFahrenheit = Auto
MCD    UserInterface RoomScheduler DevicePersonalization QRCodePairing: lit:Off|On = On
MCD    UserInterface RoomScheduler Mode: lit:Auto|CalendarOnly|RoomInUseOnly = Auto
MCD    UserInterface RoomScheduler OverlayOpacity: int[0..100] = 50
BMCD   UserInterface RoomScheduler PeopleCount Current: lit:Auto|Hidden = Auto
BMCD   UserInterface RoomScheduler State Available Color:
       lit:Aquamarine|Blue|Cyan|Fuchsia|Gold|Green|Lime|Magenta|Off|Orange|Orchid|Purple|Red|Scarlet|
       Turquoise|Violet|Yellow = Green
BMCD   UserInterface RoomScheduler State Busy Color:
       lit:Aquamarine|Blue|Cyan|Fuchsia|Gold|Green|Lime|Magenta|Off|Orange|Orchid|Purple|Red|Scarlet|
       Turquoise|Violet|Yellow = Red
BMCD   UserInterface RoomScheduler State Pending Color:
       lit:Aquamarine|Blue|Cyan|Fuchsia|Gold|Green|Lime|Magenta|Off|Orange|Orchid|Purple|Red|Scarlet|
       Turquoise|Violet|Yellow = Yellow
BMC    UserInterface RoomScheduler StatusWhenInUse: lit:Auto|Free = Auto
"""

EVENTS: Final = """\
MCD    Bookings BookingCreated: BookingRequestUUID:str Duration!:int Id!:str MeetingId!:str
       OrganizerEmail:str OrganizerId:str OrganizerName:str StartTime!:str Title!:str
MCD    Bookings BookingFailed: BookingRequestUUID!:str
       FailureCause!:lit:Timeout|Decline|ConfigError|HttpError|KmsError
CD     Bookings BookingMoved: Duration!:int Id!:str MeetingId:str StartTime!:str
ABMCD  Bookings BookingRequested: BookingRequestUUID:str Duration!:int StartTime!:str Title!:str
MCD    Bookings CheckedIn: EndTime!:str Id!:str MeetingId:str MinuteOffset!:int StartTime!:str
B      Bookings Deleted: Cause!:lit:ManualCheckOut|NoShow|Deleted EndTime!:str Id!:str OrganizerId!:str
       StartTime!:str TimeStamp!:str
MCD    Bookings Deleted:
       Cause!:lit:ManualCheckOut|NoShow|Deleted|HotdeskSignout|HotdeskOrganizerNotFoundInOrg EndTime!:str
       Id!:str MeetingId:str MinutesFreed!:int OrganizerId!:str ScheduledDuration!:int StartTime!:str
       TimeStamp!:str
D      Bookings EditFailed: FailureCause!:lit:Timeout|Decline|ConfigError|HttpError|KmsError MeetingId!:str
MCD    Bookings EditRequested: MeetingId!:str
AB     Bookings End: Id!:str
MCD    Bookings End: EndTime!:str Id!:str MeetingId:str ScheduledDuration!:int StartTime!:str
AB     Bookings EndTimeBuffer: Id!:str
MCD    Bookings EndTimeBuffer: Id!:str MeetingId:str
MCD    Bookings ExtensionFailed: ExtensionStart!:str
       FailureCause!:lit:Timeout|Decline|ConfigError|HttpError|KmsError OriginalMeetingId!:str
AB     Bookings ExtensionRequested: Duration!:int NewEndTime!:str OriginalMeetingId!:str
MCD    Bookings ExtensionRequested: Duration!:int Id:str MeetingId:str NewEndTime!:str OriginalMeetingId:str
AB     Bookings NotificationSnoozed: Id!:str
MCD    Bookings NotificationSnoozed: Id:str MeetingId:str
AB     Bookings Start: Id!:str
MCD    Bookings Start: Id!:str MeetingId:str
AB     Bookings StartTimeBuffer: Id!:str
MCD    Bookings StartTimeBuffer: Id!:str MeetingId:str
CD     Bookings SyncRequired:
AB     Bookings TimeRemaining: Id!:str Seconds!:int
MCD    Bookings TimeRemaining: Id!:str MeetingId:str Seconds!:int
ZABMCD Bookings Updated:
ZABMCD Standby Reset:
ZABMCD Standby SecondsToStandby: NameNotUsed!:int
ZABMC  UserInterface Message Alert Cleared:
D      UserInterface Message Alert Cleared: Origin:lit:OSD|RoomScheduler|Controller PeripheralId:str
ZABMC  UserInterface Message Alert Display: Duration!:int Text!:str Title!:str
D      UserInterface Message Alert Display: Duration!:int PeripheralId!:str
       Target!:lit:Auto|OSD|RoomScheduler|Controller Text!:str Title!:str
ZABMCD UserInterface Message Echo: Text!:str
ZABMC  UserInterface Message Prompt Cleared: FeedbackId!:str
D      UserInterface Message Prompt Cleared: FeedbackId!:str Origin:lit:OSD|RoomScheduler|Controller
       PeripheralId:str
ZABMC  UserInterface Message Prompt Display: Duration:int FeedbackId:str Option.1:str Option.2:str
       Option.3:str Option.4:str Option.5:str Text!:str Title:str
D      UserInterface Message Prompt Display: Duration:int FeedbackId:str Option.1:str Option.2:str
       Option.3:str Option.4:str Option.5:str PeripheralId!:str Target!:lit:Auto|OSD|RoomScheduler|Controller
       Text!:str Title:str
ZABMC  UserInterface Message Prompt Response: FeedbackId!:str OptionId!:int
D      UserInterface Message Prompt Response: FeedbackId!:str OptionId!:int
       Origin:lit:OSD|RoomScheduler|Controller PeripheralId:str
ZABMC  UserInterface Message Rating Cleared: FeedbackId!:str
D      UserInterface Message Rating Cleared: FeedbackId!:str Origin:lit:OSD|RoomScheduler|Controller
       PeripheralId:str
ZABMC  UserInterface Message Rating Display: Duration:int FeedbackId:str SubmitReceiptText:str
       SubmitReceiptTitle:str Text!:str Title:str
D      UserInterface Message Rating Display: Duration:int FeedbackId:str PeripheralId!:str
       SubmitReceiptText:str SubmitReceiptTitle:str Target!:lit:Auto|OSD|RoomScheduler|Controller Text!:str
       Title:str
ZABMC  UserInterface Message Rating Response: FeedbackId!:str Rating!:int
D      UserInterface Message Rating Response: FeedbackId!:str Origin:lit:OSD|RoomScheduler|Controller
       PeripheralId:str Rating!:int
ZABMC  UserInterface Message TextInput Clear: FeedbackId!:str
D      UserInterface Message TextInput Clear: FeedbackId!:str Origin:lit:OSD|RoomScheduler|Controller
       PeripheralId:str
ZABMC  UserInterface Message TextInput Display: Duration!:int FeedbackId:str InputText!:str InputType!:str
       KeyboardState!:str Placeholder!:str SubmitText!:str Text!:str Title!:str
D      UserInterface Message TextInput Display: Duration!:int FeedbackId:str InputText!:str InputType!:str
       KeyboardState!:str PeripheralId!:str Placeholder!:str SubmitText!:str
       Target!:lit:Auto|OSD|RoomScheduler|Controller Text!:str Title!:str
ZABMC  UserInterface Message TextInput Response: FeedbackId!:str Text!:str
D      UserInterface Message TextInput Response: FeedbackId!:str Origin:lit:OSD|RoomScheduler|Controller
       PeripheralId:str Text!:str
ZABMC  UserInterface Message TextLine Cleared:
D      UserInterface Message TextLine Cleared: Origin:lit:OSD|RoomScheduler|Controller PeripheralId:str
ZABMC  UserInterface Message TextLine Display: Duration!:int Text!:str X!:int Y!:int
D      UserInterface Message TextLine Display: Duration!:int PeripheralId!:str
       Target!:lit:Auto|OSD|RoomScheduler|Controller Text!:str X!:int Y!:int
"""

STATUSES: Final = """\
ABMCD  Audio Ultrasound Volume: int
ABMCD  Bookings Availability Status: lit:Free|FreeUntil|BookedUntil
ABMCD  Bookings Availability TimeStamp: str
ZABMCD Bookings Current Id: str
ZABMCD Conference Call[n] BookingId: str
ZABMCD Conference Presentation CallId: int
ZABMCD Conference Presentation LocalInstance[n] DirectShare: int
ZABMCD Conference Presentation LocalInstance[n] SendingMode: lit:LocalOnly|LocalRemote|Off
ZABMCD Conference Presentation LocalInstance[n] Source: int
ZABMCD Conference Presentation Mode: lit:Off|Receiving|Sending
BMCD   Conference Presentation Whiteboard BoardUrl: str
BMCD   Conference Presentation Whiteboard Mode: lit:On|Off
D      Conference Presentation Whiteboard TranscodingSelected: lit:False|True|NotApplicable
ZABMCD HttpFeedback[n] Expression[n]: str
ZABMCD HttpFeedback[n] Format: str
ZABMCD HttpFeedback[n] Status: lit:OK|Failed
ZABMCD HttpFeedback[n] URL: str
ZABMCD Network[n] Ethernet MacAddress: str
ZABMCD Network[n] IPv4 Address: str
ZABMCD Provisioning Status:
       lit:AuthenticationFailed|ConfigError|Failed|Idle|NeedConfig|Provisioning|Provisioned
BMCD   RoomAnalytics AirQuality Index: str
ZABMCD RoomAnalytics AmbientNoise Level A: int
ZABMCD RoomAnalytics AmbientTemperature: str
ZABMCD RoomAnalytics Engagement CloseProximity: lit:True|False
ABMCD  RoomAnalytics PeopleCount Capacity: int
ZABMCD RoomAnalytics PeopleCount Current: int
ZABMCD RoomAnalytics PeoplePresence: lit:Yes|No|Unknown
ZABMCD RoomAnalytics RelativeHumidity: int
ABMCD  RoomAnalytics ReverberationTime LastRun: str
MCD    RoomAnalytics ReverberationTime MeasurementState: lit:Empty|Measuring|Measured
ABMCD  RoomAnalytics ReverberationTime Middle RT60: int
ABMCD  RoomAnalytics ReverberationTime Octaves[n] CenterFrequency: int
ABMCD  RoomAnalytics ReverberationTime Octaves[n] RT60: int
BMCD   RoomAnalytics RoomInUse: lit:True|False
E      RoomAnalytics OccupancySensor[n] ID: str
E      RoomAnalytics OccupancySensor[n] RoomInUse: lit:True|False
ZABMCD RoomAnalytics Sound Level A: int
ABMCD  RoomAnalytics T3Alarm Detected: lit:True|False
BMCD   RoomAnalytics UltrasoundPresence: lit:Yes|No|Unknown
AB     Standby Level: lit:None|Standby|Networked|DisplayOff
MCD    Standby Level: lit:None|DeepSleep|Networked|DisplayOff
ZABMCD Standby State: lit:Standby|EnteringStandby|Halfwake|Off
BMCD   SystemUnit Hardware Module DeviceId: str
ZABMCD SystemUnit Hardware Module SerialNumber: str
BMCD   SystemUnit Hardware UDI: str
ZABMCD SystemUnit ProductId: str
ZABMCD SystemUnit ProductPlatform: str
ZABMCD SystemUnit ProductType: str
ZABMCD SystemUnit Software DisplayName: str
ZABMCD SystemUnit Software Name: str
ZABMCD SystemUnit Software ReleaseDate: str
ZABMCD SystemUnit Software Version: str
ZABMCD SystemUnit State CameraLid: lit:Closed|Open
ZABMCD SystemUnit State NumberOfActiveCalls: int
ZABMCD SystemUnit State NumberOfInProgressCalls: int
ZABMCD SystemUnit State NumberOfSuspendedCalls: int
BMCD   SystemUnit State Subsystem Application: lit:Initialized|Initializing
BMCD   SystemUnit State System: lit:InCall|Initialized|Initializing|Multisite|Sleeping
ZABMCD SystemUnit Uptime: int
ZABMCD Time SystemTime: str
ABMCD  UserInterface ContactInfo Name: str
BMCD   UserInterface Features Calendar Start: lit:Visible|Hidden
A      UserInterface LedControl Color: lit:Red|Yellow|Green|Off
BMCD   UserInterface LedControl Color:
       lit:Green|Yellow|Red|Purple|Blue|Orange|Orchid|Aquamarine|Fuchsia|Violet|Magenta|Scarlet|Gold|Lime|
       Turquoise|Cyan|Off
MCD    UserInterface WebView[n] ErrorDescription: str
MCD    UserInterface WebView[n] ErrorType:
       lit:NoError|OutOfMemory|RenderProcessCrashed|CertificateError|ConnectionError|HttpError|DnsError|
       OtherError
MCD    UserInterface WebView[n] HttpResponseStatusCode: int
ABMCD  UserInterface WebView[n] Status: lit:Visible|Error|NotVisible
A      UserInterface WebView[n] Type:
       lit:WebApp|Integration|Signage|ECM|ECMSignIn|Kiosk|WebRTCMeeting|EmbeddedApp|None
B      UserInterface WebView[n] Type:
       lit:WebApp|Integration|Signage|ECM|ECMSignIn|Kiosk|WebRTCMeeting|EmbeddedApp|PersistentWebApp|
       WebWidget|None
MCD    UserInterface WebView[n] Type:
       lit:WebApp|Integration|Signage|ECM|ECMSignIn|Kiosk|WebRTCMeeting|EmbeddedApp|PersistentWebApp|
       WebWidget|Whiteboard|None
ABMCD  UserInterface WebView[n] URL: str
ZABMCD Webex DeveloperId: str
ZABMCD Webex Status: lit:Disabled|Error|Registered|Registering|Stopped
"""
