"""What each simulated firmware knows: its commands, configurations, events and statuses, as one table."""

from typing import Final

# First column: the firmwares that have the row (A 10.19.4.2, B 11.14.5.0, C 11.27.2.0, D 26.4.1).
# Then the path, a colon, and the value space: `name!` is required, `=x` a default. Indented lines go on.


COMMANDS: Final = """\
AB   Bookings Book: BookingRequestUUID:str[1..128] Duration:int[1..1440]=30 StartTime:str[0..128]
     Title:str[0..128]
CD   Bookings Book: BookingRequestUUID:str[1..128] Duration:int[1..1440]=30
     MeetingPlatform:lit:MicrosoftTeams|GoogleMeet|Zoom|Webex|Other|None Number:str[0..128]
     OrganizerEmail:str[0..128] OrganizerId:str[0..128] OrganizerName:str[0..128]
     Protocol:lit:SIP|H323|ISDN|IP|Spark|WebRTC|None StartTime:str[0..128] Title:str[0..128]
D    Bookings CheckIn: Id:str[1..128] MeetingId:str[1..128] TrackingData:str[0..128]=BookingsCheckIn_API
CD   Bookings CheckOut: Id:str[1..128] MeetingId:str[1..128] TrackingData:str[0..128]=BookingsCheckOut_API
ABCD Bookings Clear:
A    Bookings Delete: MeetingId!:str[1..128]
BCD  Bookings Delete: Id:str[1..128] MeetingId:str[1..128]
B    Bookings Edit: Duration:int[1..1440] MeetingId!:str[1..128] StartTime:str[0..128] Title:str[0..128]
CD   Bookings Edit: Duration:int[1..1440] Id:str[1..128] MeetingId:str[1..128]
     MeetingPlatform:lit:MicrosoftTeams|GoogleMeet|Zoom|Webex|Other|None Number:str[0..128]
     OrganizerEmail:str[0..128] OrganizerId:str[0..128] OrganizerName:str[0..128]
     Protocol:lit:SIP|H323|ISDN|IP|Spark|WebRTC|None StartTime:str[0..128] Title:str[0..128]
B    Bookings Extend: Duration!:int[1..1440] Id!:str[1..128]
CD   Bookings Extend: Duration!:int[1..1440] Id:str[1..128] MeetingId:str[1..128]
AB   Bookings Get: Id!:str[1..128]
CD   Bookings Get: Id:str[1..128] MeetingId:str[1..128]
AB   Bookings List: DayOffset:int[0..365]=0 Days:int[1..365] Limit:int[1..65534] Offset:int[0..65534]=0
CD   Bookings List: AccountType:lit:Shared|Personal|SharedAndPersonal DayOffset:int[0..365]=0
     Days:int[1..365] Limit:int[1..65534] Offset:int[0..65534]=0 ScheduleType:lit:Current|Upcoming
AB   Bookings NotificationSnooze: Id:str[0..128] SecondsToSnooze:int[1..3600]=300
CD   Bookings NotificationSnooze: Id:str[1..128] MeetingId:str[1..128] SecondsToSnooze:int[1..3600]=300
ABCD Bookings Put:
AB   Bookings Respond: MeetingId!:str[1..128] Type!:lit:Accept|Decline
CD   Bookings Respond: Comment:str[1..2048] MeetingId!:str[1..128] Type!:lit:Accept|Decline
A    Peripherals Connect: HardwareInfo:str[0..100] ID!:str[1..100] Name:str[0..100]
     NetworkAddress:str[0..100] SerialNumber:str[0..100] SoftwareInfo:str[0..100]
     Type!:lit:AudioAmplifier|AudioMicrophone|Byod|Camera|ControlSystem|Other|TouchPanel|RoomScheduler|
     PersistentWebApp
BC   Peripherals Connect: DRAM:int[1..256] HardwareInfo:str[0..100] ID!:str[1..100] Name:str[0..100]
     NetworkAddress:str[0..100] SerialNumber:str[0..100] SoftwareInfo:str[0..100]
     Type!:lit:AudioAmplifier|AudioMicrophone|Byod|Camera|ControlSystem|Other|TouchPanel|RoomScheduler|
     PersistentWebApp
D    Peripherals Connect: HardwareInfo:str[0..100] ID!:str[1..100] Name:str[0..100]
     NetworkAddress:str[0..100] SerialNumber:str[0..100] SoftwareInfo:str[0..100]
     Type!:lit:AudioAmplifier|AudioMicrophone|Byod|Camera|ControlSystem|Other|TableExtender|TouchPanel|
     RoomScheduler|PersistentWebApp|VideoSwitcher
ABCD Peripherals HeartBeat: ID!:str[1..100] Timeout:int[1..65535]=60
ABCD Standby Activate:
ABCD Standby Deactivate:
ABCD Standby Halfwake:
ABCD Standby ResetTimer: Delay:int[1..480]
ABCD SystemUnit Boot: Action:lit:Restart|Shutdown=Restart Force:lit:False|True=True
ABCD Time DateTime Get:
A    UserInterface LedControl Color Set: Color!:lit:Green|Yellow|Red|Off
BCD  UserInterface LedControl Color Set:
     Color!:lit:Green|Yellow|Red|Purple|Blue|Orange|Orchid|Aquamarine|Fuchsia|Violet|Magenta|Scarlet|Gold|
     Lime|Turquoise|Cyan|Off
ABC  UserInterface Message Alert Clear:
D    UserInterface Message Alert Clear: PeripheralId:str[0..128] Target:lit:OSD|RoomScheduler|Controller
ABC  UserInterface Message Alert Display: Duration:int[0..3600]=0 Text!:str[0..255] Title:str[0..255]
D    UserInterface Message Alert Display: Duration:int[0..3600]=0 PeripheralId:str[0..128]
     Target:lit:OSD|RoomScheduler|Controller Text!:str[0..255] Title:str[0..255]
ABC  UserInterface Message Prompt Clear: FeedbackId:str[0..255]
D    UserInterface Message Prompt Clear: FeedbackId:str[0..255] PeripheralId:str[0..128]
     Target:lit:OSD|RoomScheduler|Controller
ABC  UserInterface Message Prompt Display: Duration:int[0..3600]=0 FeedbackId:str[0..255]
     Option.1:str[0..255] Option.2:str[0..255] Option.3:str[0..255] Option.4:str[0..255]
     Option.5:str[0..255] Text!:str[0..255] Title:str[0..255]
D    UserInterface Message Prompt Display: Duration:int[0..3600]=0 FeedbackId:str[0..255]
     Option.1:str[0..255] Option.2:str[0..255] Option.3:str[0..255] Option.4:str[0..255]
     Option.5:str[0..255] PeripheralId:str[0..128] Target:lit:OSD|RoomScheduler|Controller
     Text!:str[0..255] Title:str[0..255]
ABC  UserInterface Message Prompt Response: FeedbackId:str[0..255] OptionId!:int[1..5]
D    UserInterface Message Prompt Response: FeedbackId:str[0..255] OptionId!:int[1..5]
     Origin:lit:OSD|RoomScheduler|Controller PeripheralId:str[0..128]
ABC  UserInterface Message Rating Clear: FeedbackId:str[0..255]
D    UserInterface Message Rating Clear: FeedbackId:str[0..255] PeripheralId:str[0..128]
     Target:lit:OSD|RoomScheduler|Controller
ABC  UserInterface Message Rating Display: Duration:int[0..3600]=0 FeedbackId:str[0..255]
     SubmitReceiptText:str[0..128] SubmitReceiptTitle:str[0..40] Text!:str[0..128] Title:str[0..40]
D    UserInterface Message Rating Display: Duration:int[0..3600]=0 FeedbackId:str[0..255]
     PeripheralId:str[0..128] SubmitReceiptText:str[0..128] SubmitReceiptTitle:str[0..40]
     Target:lit:OSD|RoomScheduler|Controller Text!:str[0..128] Title:str[0..40]
ABC  UserInterface Message Rating Response: FeedbackId:str[0..255] Rating:int[0..5]=0
D    UserInterface Message Rating Response: FeedbackId:str[0..255] Origin:lit:OSD|RoomScheduler|Controller
     PeripheralId:str[0..128] Rating:int[0..5]=0
ABC  UserInterface Message TextInput Clear: FeedbackId:str[0..255]
D    UserInterface Message TextInput Clear: FeedbackId:str[0..255] PeripheralId:str[0..128]
     Target:lit:OSD|RoomScheduler|Controller
ABC  UserInterface Message TextInput Display: Duration:int[0..3600]=0 FeedbackId:str[0..255]
     InputText:str[0..255] InputType:lit:SingleLine|Numeric|Password|PIN=SingleLine
     KeyboardState:lit:Open|Closed=Open Placeholder:str[0..255] SubmitText:str[0..32]=OK Text!:str[0..128]
     Title:str[0..40]
D    UserInterface Message TextInput Display: Duration:int[0..3600]=0 FeedbackId:str[0..255]
     InputText:str[0..255] InputType:lit:SingleLine|Numeric|Password|PIN=SingleLine
     KeyboardState:lit:Open|Closed=Open PeripheralId:str[0..128] Placeholder:str[0..255]
     SubmitText:str[0..32]=OK Target:lit:OSD|RoomScheduler|Controller Text!:str[0..128] Title:str[0..40]
ABC  UserInterface Message TextInput Response: FeedbackId:str[0..255] Text!:str[0..255]
D    UserInterface Message TextInput Response: FeedbackId:str[0..255]
     Origin:lit:OSD|RoomScheduler|Controller PeripheralId:str[0..128] Text!:str[0..255]
ABC  UserInterface Message TextLine Clear:
D    UserInterface Message TextLine Clear: PeripheralId:str[0..128]
     Target:lit:OSD|RoomScheduler|Controller
ABC  UserInterface Message TextLine Display: Duration:int[0..3600]=0 Text!:str[0..140] X:int[1..10000]=0
     Y:int[1..10000]=0
D    UserInterface Message TextLine Display: Duration:int[0..3600]=0 PeripheralId:str[0..128]
     Target:lit:OSD|RoomScheduler|Controller Text!:str[0..140] X:int[1..10000]=0 Y:int[1..10000]=0
ABC  UserInterface WebView Clear: Target:lit:OSD|Controller|PersistentWebApp
D    UserInterface WebView Clear: Target:lit:OSD|Controller|PersistentWebApp|RoomScheduler
AB   UserInterface WebView Display: Header:strs Mode:lit:Fullscreen|Modal Options:str[0..255]
     Target:lit:OSD|Controller|PersistentWebApp Title:str[0..255] Url!:str[0..2000]
C    UserInterface WebView Display: AllowInsecureHttps:lit:False|True Header:strs
     Mode:lit:Fullscreen|Modal Options:str[0..255] Target:lit:OSD|Controller|PersistentWebApp
     Title:str[0..255] Url!:str[0..2000]
D    UserInterface WebView Display: AllowInsecureHttps:lit:False|True Header:strs
     Mode:lit:Fullscreen|Modal Options:str[0..255]
     Target:lit:OSD|Controller|PersistentWebApp|RoomScheduler Title:str[0..255] Url!:str[0..2000]
"""

CONFIGURATIONS: Final = """\
A    Audio Ultrasound MaxVolume: int[0..90] = 70
BCD  Audio Ultrasound MaxVolume: int[0..70] = 70
CD   Bookings AdhocBooking BookAhead Enabled: lit:False|True = False
CD   Bookings AdhocBooking BookingTimeout: int[60..300] = 60
CD   Bookings AdhocBooking Enabled: lit:False|True = False
CD   Bookings AllowDecline: lit:All|InsideOnly|None = All
D    Bookings CheckIn AutoCheckInDuration: int[8..24] = 8
CD   Bookings CheckIn Enabled: lit:False|True = False
CD   Bookings CheckIn WindowDuration: lit:5|10|15|20|30|60 = 10
CD   Bookings DeclinableBookingType: lit:AdhocOnly|All = AdhocOnly
CD   Bookings MaxDuration: int[0..24] = 0
ABCD Bookings ProtocolPriority: lit:Auto|WebRTC = Auto
ABCD NetworkServices HTTP Mode: lit:HTTP+HTTPS|HTTPS|Off = HTTPS
ABCD NetworkServices HTTP Proxy LoginName: str[0..80] =
ABCD NetworkServices HTTP Proxy Mode: lit:Manual|Off|PACUrl|WPAD = Off
ABCD NetworkServices HTTP Proxy PACUrl: str[0..255] =
ABCD NetworkServices HTTP Proxy Password: str[0..64] =
ABCD NetworkServices HTTP Proxy Url: str[0..255] =
A    NetworkServices HTTPS Server MinimumTLSVersion: lit:TLSv1.1|TLSv1.2 = TLSv1.1
B    NetworkServices HTTPS Server MinimumTLSVersion: lit:TLSv1.1|TLSv1.2|TLSv1.3 = TLSv1.1
CD   NetworkServices HTTPS Server MinimumTLSVersion: lit:TLSv1.1|TLSv1.2|TLSv1.3 = TLSv1.2
ABCD NetworkServices HTTPS StrictTransportSecurity: lit:Off|On = Off
ABCD NetworkServices HTTPS VerifyClientCertificate: lit:Off|On = Off
ABCD NetworkServices SSH HostKeyAlgorithm: lit:ECDSA|RSA|ed25519 = RSA
CD   NetworkServices SSH KeyExchangeAlgorithms AllowLegacy: lit:Off|On = On
ABCD NetworkServices SSH Mode: lit:Off|On = On
ABCD NetworkServices Websocket: lit:FollowHTTPService|Off = FollowHTTPService
ABC  Provisioning Mode: lit:Auto|CUCM|Edge|Off|TMS|VCS|Webex = Auto
D    Provisioning Mode: lit:Auto|Off|Webex = Auto
ABCD RoomAnalytics AmbientNoiseEstimation Interval: int[10..60] = 10
ABCD RoomAnalytics AmbientNoiseEstimation Mode: lit:Off|On = Off
ABCD RoomAnalytics PeopleCountOutOfCall: lit:Off|On = Off
BCD  RoomAnalytics PeoplePresence Input HeadDetector: lit:Off|On = On
BCD  RoomAnalytics PeoplePresence Input Ultrasound: lit:Off|On = Off
A    RoomAnalytics PeoplePresenceDetector: lit:Off|On = Off
BCD  RoomAnalytics PeoplePresenceDetector: lit:Off|On = On
ABCD RoomAnalytics ReverberationTime Interval: int[60..3600] = 1800
ABCD RoomAnalytics ReverberationTime Mode: lit:Off|On = Off
CD   RoomAnalytics RoomInUse InCall: lit:Disabled|Enabled = Enabled
CD   RoomAnalytics RoomInUse LocalUsage: lit:Disabled|Enabled = Enabled
D    RoomAnalytics RoomLayout Allowed: lit:False|True = False
ABCD RoomAnalytics T3AlarmDetection Mode: lit:Off|On = Off
ABCD RoomAnalytics T3AlarmDetection Timeout: int[5..60] = 10
BCD  RoomScheduler BookingTimeout: int[60..300] = 60
ABCD RoomScheduler Enabled: lit:False|True = False
ABC  Security Session FailedLoginsLockoutTime: int[0..10000] = 60
D    Security Session FailedLoginsLockoutTime: int[0..10000] = 5
ABCD Security Session InactivityTimeout: int[0..10000] = 0
ABC  Security Session MaxFailedLogins: int[0..10] = 0
D    Security Session MaxFailedLogins: int[0..10] = 5
ABCD Security Session MaxSessionsPerUser: int[1..20] = 20
A    Security Session MaxTotalSessions: int[1..20] = 20
BCD  Security Session MaxTotalSessions: int[1..30] = 30
ABCD Security Session ShowLastLogon: lit:Off|On = Off
ABCD Standby Control: lit:Off|On = On
ABCD Standby Delay: int[1..480] = 10
ABCD Standby Halfwake Mode: lit:Auto|Manual = Auto
D    Standby Level DeepSleep Delay: int[1..1440] = 8
D    Standby Level DeepSleep Mode: lit:Off|On|OutsideOfficeHours = Off
ABCD Standby Level Networked Delay: int[0..1440] = 2
ABCD Standby Level Networked Mode: lit:Off|On = On
BCD  Standby WakeupAtMeetingStart: lit:Auto|Off = Auto
ABCD Standby WakeupOnMotionDetection: lit:Off|On = On
ABCD SystemUnit Name: str[0..50] =
ABCD Time Zone: zone = Etc/UTC
BCD  UserInterface Bookings AdhocBooking DefaultTitle: str[0..32] = Ad hoc meeting
CD   UserInterface Bookings AdhocBooking TimeSlotSize: lit:15|30|60 = 30
CD   UserInterface Bookings AdhocBooking UseDefaultTitle: lit:False|True = False
CD   UserInterface Bookings Visibility AllDayMeetings: lit:Auto|Hidden = Auto
BCD  UserInterface Bookings Visibility EarlyJoin: lit:Auto|Hidden = Hidden
BCD  UserInterface Bookings Visibility JoinedParticipants Avatars: lit:Auto|Hidden = Auto
BCD  UserInterface Bookings Visibility MeetingReminder: lit:All|ControllerOnly = ControllerOnly
CD   UserInterface Bookings Visibility NonJoinableMeetings: lit:Auto|Hidden = Auto
BCD  UserInterface Bookings Visibility Organizer: lit:Auto|Hidden = Auto
CD   UserInterface Bookings Visibility Personal FullDayCalendar: lit:Off|On = On
CD   UserInterface Bookings Visibility Personal NonJoinableMeetings: lit:Auto|Hidden = Hidden
ABCD UserInterface Bookings Visibility TentativeMeetings: lit:Auto|Hidden = Auto
ABCD UserInterface Bookings Visibility Title: lit:Auto|Hidden = Auto
ABCD UserInterface CustomMessage: str[0..512] =
BCD  UserInterface Features Calendar Start: lit:Auto|Hidden = Auto
ABCD UserInterface LedControl Mode: lit:Auto|Manual|Off = Auto
CD   UserInterface LedControl OutsideOfficeHours: lit:Off|On = On
ABCD UserInterface OSD HalfwakeMessage: str[0..128] =
BCD  UserInterface RoomScheduler AmbientTemperature Show: lit:Auto|Hidden|ShowCelsius|ShowFahrenheit =
     Auto
CD   UserInterface RoomScheduler DevicePersonalization QRCodePairing: lit:Off|On = On
CD   UserInterface RoomScheduler Mode: lit:Auto|CalendarOnly|RoomInUseOnly = Auto
CD   UserInterface RoomScheduler OverlayOpacity: int[0..100] = 50
BCD  UserInterface RoomScheduler PeopleCount Current: lit:Auto|Hidden = Auto
BCD  UserInterface RoomScheduler State Available Color:
     lit:Aquamarine|Blue|Cyan|Fuchsia|Gold|Green|Lime|Magenta|Off|Orange|Orchid|Purple|Red|Scarlet|
     Turquoise|Violet|Yellow
     = Green
BCD  UserInterface RoomScheduler State Busy Color:
     lit:Aquamarine|Blue|Cyan|Fuchsia|Gold|Green|Lime|Magenta|Off|Orange|Orchid|Purple|Red|Scarlet|
     Turquoise|Violet|Yellow
     = Red
BCD  UserInterface RoomScheduler State Pending Color:
     lit:Aquamarine|Blue|Cyan|Fuchsia|Gold|Green|Lime|Magenta|Off|Orange|Orchid|Purple|Red|Scarlet|
     Turquoise|Violet|Yellow
     = Yellow
BC   UserInterface RoomScheduler StatusWhenInUse: lit:Auto|Free = Auto
"""

EVENTS: Final = """\
CD   Bookings BookingCreated: BookingRequestUUID:str Duration!:int Id!:str MeetingId!:str
     OrganizerEmail:str OrganizerId:str OrganizerName:str StartTime!:str Title!:str
CD   Bookings BookingFailed: BookingRequestUUID!:str
     FailureCause!:lit:Timeout|Decline|ConfigError|HttpError|KmsError
CD   Bookings BookingMoved: Duration!:int Id!:str MeetingId:str StartTime!:str
ABCD Bookings BookingRequested: BookingRequestUUID:str Duration!:int StartTime!:str Title!:str
CD   Bookings CheckedIn: EndTime!:str Id!:str MeetingId:str MinuteOffset!:int StartTime!:str
B    Bookings Deleted: Cause!:lit:ManualCheckOut|NoShow|Deleted EndTime!:str Id!:str OrganizerId!:str
     StartTime!:str TimeStamp!:str
CD   Bookings Deleted:
     Cause!:lit:ManualCheckOut|NoShow|Deleted|HotdeskSignout|HotdeskOrganizerNotFoundInOrg EndTime!:str
     Id!:str MeetingId:str MinutesFreed!:int OrganizerId!:str ScheduledDuration!:int StartTime!:str
     TimeStamp!:str
D    Bookings EditFailed: FailureCause!:lit:Timeout|Decline|ConfigError|HttpError|KmsError MeetingId!:str
CD   Bookings EditRequested: MeetingId!:str
AB   Bookings End: Id!:str
CD   Bookings End: EndTime!:str Id!:str MeetingId:str ScheduledDuration!:int StartTime!:str
AB   Bookings EndTimeBuffer: Id!:str
CD   Bookings EndTimeBuffer: Id!:str MeetingId:str
CD   Bookings ExtensionFailed: ExtensionStart!:str
     FailureCause!:lit:Timeout|Decline|ConfigError|HttpError|KmsError OriginalMeetingId!:str
AB   Bookings ExtensionRequested: Duration!:int NewEndTime!:str OriginalMeetingId!:str
CD   Bookings ExtensionRequested: Duration!:int Id:str MeetingId:str NewEndTime!:str OriginalMeetingId:str
AB   Bookings NotificationSnoozed: Id!:str
CD   Bookings NotificationSnoozed: Id:str MeetingId:str
AB   Bookings Start: Id!:str
CD   Bookings Start: Id!:str MeetingId:str
AB   Bookings StartTimeBuffer: Id!:str
CD   Bookings StartTimeBuffer: Id!:str MeetingId:str
CD   Bookings SyncRequired:
AB   Bookings TimeRemaining: Id!:str Seconds!:int
CD   Bookings TimeRemaining: Id!:str MeetingId:str Seconds!:int
ABCD Bookings Updated:
ABCD Standby Reset:
ABCD Standby SecondsToStandby: NameNotUsed!:int
ABC  UserInterface Message Alert Cleared:
D    UserInterface Message Alert Cleared: Origin:lit:OSD|RoomScheduler|Controller PeripheralId:str
ABC  UserInterface Message Alert Display: Duration!:int Text!:str Title!:str
D    UserInterface Message Alert Display: Duration!:int PeripheralId!:str
     Target!:lit:Auto|OSD|RoomScheduler|Controller Text!:str Title!:str
ABCD UserInterface Message Echo: Text!:str
ABC  UserInterface Message Prompt Cleared: FeedbackId!:str
D    UserInterface Message Prompt Cleared: FeedbackId!:str Origin:lit:OSD|RoomScheduler|Controller
     PeripheralId:str
ABC  UserInterface Message Prompt Display: Duration:int FeedbackId:str Option.1:str Option.2:str
     Option.3:str Option.4:str Option.5:str Text!:str Title:str
D    UserInterface Message Prompt Display: Duration:int FeedbackId:str Option.1:str Option.2:str
     Option.3:str Option.4:str Option.5:str PeripheralId!:str
     Target!:lit:Auto|OSD|RoomScheduler|Controller Text!:str Title:str
ABC  UserInterface Message Prompt Response: FeedbackId!:str OptionId!:int
D    UserInterface Message Prompt Response: FeedbackId!:str OptionId!:int
     Origin:lit:OSD|RoomScheduler|Controller PeripheralId:str
ABC  UserInterface Message Rating Cleared: FeedbackId!:str
D    UserInterface Message Rating Cleared: FeedbackId!:str Origin:lit:OSD|RoomScheduler|Controller
     PeripheralId:str
ABC  UserInterface Message Rating Display: Duration:int FeedbackId:str SubmitReceiptText:str
     SubmitReceiptTitle:str Text!:str Title:str
D    UserInterface Message Rating Display: Duration:int FeedbackId:str PeripheralId!:str
     SubmitReceiptText:str SubmitReceiptTitle:str Target!:lit:Auto|OSD|RoomScheduler|Controller Text!:str
     Title:str
ABC  UserInterface Message Rating Response: FeedbackId!:str Rating!:int
D    UserInterface Message Rating Response: FeedbackId!:str Origin:lit:OSD|RoomScheduler|Controller
     PeripheralId:str Rating!:int
ABC  UserInterface Message TextInput Clear: FeedbackId!:str
D    UserInterface Message TextInput Clear: FeedbackId!:str Origin:lit:OSD|RoomScheduler|Controller
     PeripheralId:str
ABC  UserInterface Message TextInput Display: Duration!:int FeedbackId:str InputText!:str InputType!:str
     KeyboardState!:str Placeholder!:str SubmitText!:str Text!:str Title!:str
D    UserInterface Message TextInput Display: Duration!:int FeedbackId:str InputText!:str InputType!:str
     KeyboardState!:str PeripheralId!:str Placeholder!:str SubmitText!:str
     Target!:lit:Auto|OSD|RoomScheduler|Controller Text!:str Title!:str
ABC  UserInterface Message TextInput Response: FeedbackId!:str Text!:str
D    UserInterface Message TextInput Response: FeedbackId!:str Origin:lit:OSD|RoomScheduler|Controller
     PeripheralId:str Text!:str
ABC  UserInterface Message TextLine Cleared:
D    UserInterface Message TextLine Cleared: Origin:lit:OSD|RoomScheduler|Controller PeripheralId:str
ABC  UserInterface Message TextLine Display: Duration!:int Text!:str X!:int Y!:int
D    UserInterface Message TextLine Display: Duration!:int PeripheralId!:str
     Target!:lit:Auto|OSD|RoomScheduler|Controller Text!:str X!:int Y!:int
"""

STATUSES: Final = """\
ABCD Audio Ultrasound Volume: int
ABCD Bookings Availability Status: lit:Free|FreeUntil|BookedUntil
ABCD Bookings Availability TimeStamp: str
ABCD Bookings Current Id: str
ABCD Conference Call[n] BookingId: str
ABCD Conference Presentation CallId: int
ABCD Conference Presentation LocalInstance[n] DirectShare: int
ABCD Conference Presentation LocalInstance[n] SendingMode: lit:LocalOnly|LocalRemote|Off
ABCD Conference Presentation LocalInstance[n] Source: int
ABCD Conference Presentation Mode: lit:Off|Receiving|Sending
BCD  Conference Presentation Whiteboard BoardUrl: str
BCD  Conference Presentation Whiteboard Mode: lit:On|Off
D    Conference Presentation Whiteboard TranscodingSelected: lit:False|True|NotApplicable
ABCD Network[n] Ethernet MacAddress: str
ABCD Network[n] IPv4 Address: str
ABCD Provisioning Status:
     lit:AuthenticationFailed|ConfigError|Failed|Idle|NeedConfig|Provisioning|Provisioned
BCD  RoomAnalytics AirQuality Index: str
ABCD RoomAnalytics AmbientNoise Level A: int
ABCD RoomAnalytics AmbientTemperature: str
ABCD RoomAnalytics Engagement CloseProximity: lit:True|False
ABCD RoomAnalytics PeopleCount Capacity: int
ABCD RoomAnalytics PeopleCount Current: int
ABCD RoomAnalytics PeoplePresence: lit:Yes|No|Unknown
ABCD RoomAnalytics RelativeHumidity: int
ABCD RoomAnalytics ReverberationTime LastRun: str
CD   RoomAnalytics ReverberationTime MeasurementState: lit:Empty|Measuring|Measured
ABCD RoomAnalytics ReverberationTime Middle RT60: int
ABCD RoomAnalytics ReverberationTime Octaves[n] CenterFrequency: int
ABCD RoomAnalytics ReverberationTime Octaves[n] RT60: int
BCD  RoomAnalytics RoomInUse: lit:True|False
ABCD RoomAnalytics Sound Level A: int
ABCD RoomAnalytics T3Alarm Detected: lit:True|False
BCD  RoomAnalytics UltrasoundPresence: lit:Yes|No|Unknown
AB   Standby Level: lit:None|Standby|Networked|DisplayOff
CD   Standby Level: lit:None|DeepSleep|Networked|DisplayOff
ABCD Standby State: lit:Standby|EnteringStandby|Halfwake|Off
BCD  SystemUnit Hardware Module DeviceId: str
ABCD SystemUnit Hardware Module SerialNumber: str
BCD  SystemUnit Hardware UDI: str
ABCD SystemUnit ProductId: str
ABCD SystemUnit ProductPlatform: str
ABCD SystemUnit ProductType: str
ABCD SystemUnit Software DisplayName: str
ABCD SystemUnit Software Name: str
ABCD SystemUnit Software ReleaseDate: str
ABCD SystemUnit Software Version: str
ABCD SystemUnit State CameraLid: lit:Closed|Open
ABCD SystemUnit State NumberOfActiveCalls: int
ABCD SystemUnit State NumberOfInProgressCalls: int
ABCD SystemUnit State NumberOfSuspendedCalls: int
BCD  SystemUnit State Subsystem Application: lit:Initialized|Initializing
BCD  SystemUnit State System: lit:InCall|Initialized|Initializing|Multisite|Sleeping
ABCD SystemUnit Uptime: int
ABCD Time SystemTime: str
ABCD UserInterface ContactInfo Name: str
BCD  UserInterface Features Calendar Start: lit:Visible|Hidden
A    UserInterface LedControl Color: lit:Red|Yellow|Green|Off
BCD  UserInterface LedControl Color:
     lit:Green|Yellow|Red|Purple|Blue|Orange|Orchid|Aquamarine|Fuchsia|Violet|Magenta|Scarlet|Gold|Lime|
     Turquoise|Cyan|Off
CD   UserInterface WebView[n] ErrorDescription: str
CD   UserInterface WebView[n] ErrorType:
     lit:NoError|OutOfMemory|RenderProcessCrashed|CertificateError|ConnectionError|HttpError|DnsError|
     OtherError
CD   UserInterface WebView[n] HttpResponseStatusCode: int
ABCD UserInterface WebView[n] Status: lit:Visible|Error|NotVisible
A    UserInterface WebView[n] Type:
     lit:WebApp|Integration|Signage|ECM|ECMSignIn|Kiosk|WebRTCMeeting|EmbeddedApp|None
B    UserInterface WebView[n] Type:
     lit:WebApp|Integration|Signage|ECM|ECMSignIn|Kiosk|WebRTCMeeting|EmbeddedApp|PersistentWebApp|
     WebWidget|None
CD   UserInterface WebView[n] Type:
     lit:WebApp|Integration|Signage|ECM|ECMSignIn|Kiosk|WebRTCMeeting|EmbeddedApp|PersistentWebApp|
     WebWidget|Whiteboard|None
ABCD UserInterface WebView[n] URL: str
ABCD Webex DeveloperId: str
ABCD Webex Status: lit:Disabled|Error|Registered|Registering|Stopped
"""
